"""Proof that the sides of a split share nothing."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

from brainfm.recording_info import RecordingInfo
from brainfm.splits import Listed, Split, unit_of


def audit(
    split: Split,
    recordings: Iterable[RecordingInfo] | None = None,
    *,
    shared: Mapping[str, str] | None = None,
) -> list[str]:
    """Return what is wrong with a split, one line per finding; empty if nothing is.

    Parameters
    ----------
    split
        The manifest. No recording, no unit it was divided by (nor what is larger: no subject when
        divided by data set) and no samples may be on two sides.
    recordings
        The corpus; its content must be what the manifest says.
    shared
        Recordings of it that hold stretches of others (:attr:`Corpus.shared`).
    """
    checks: list[tuple[str, Callable[[Listed], str]]] = [
        ("recording", lambda entry: entry.id),
        ("samples (signal digest)", lambda entry: entry.signal_digest),
        ("file (source digest)", lambda entry: entry.source_digest),
        ("stretch of recording", lambda entry: (shared or {}).get(entry.id, "")),
    ]
    by = split.config.by
    if by != "recording":
        checks.append((by, lambda entry: unit_of(entry, by)))
    if by == "dataset":
        checks.append(("subject", lambda entry: unit_of(entry, "subject")))
    findings = []
    for what, key in checks:
        findings += _on_two_sides(split, what, key)
    if recordings is not None:
        findings += _differs_from_corpus(split, recordings)
    return findings


def _on_two_sides(split: Split, what: str, key: Callable[[Listed], str]) -> list[str]:
    places: dict[str, dict[str, str]] = defaultdict(dict)
    for side, entries in split.sides.items():
        for entry in entries:
            if key(entry):
                places[key(entry)].setdefault(side, entry.id)
    return [
        f"{what} {name} is on sides "
        + " and ".join(f"{side} ({example})" for side, example in sides.items())
        for name, sides in sorted(places.items())
        if len(sides) > 1
    ]


def _differs_from_corpus(split: Split, recordings: Iterable[RecordingInfo]) -> list[str]:
    here = {info.id: info for info in recordings}
    findings = []
    for side, entries in split.sides.items():
        for entry in entries:
            info = here.get(entry.id)
            if info is None:
                findings.append(f"recording {entry.id} of side {side} is not in the corpus")
                continue
            changed = [
                name
                for name in ("dataset", "subject", "session", "digest", "signal_digest")
                if getattr(entry, name) != getattr(info, name)
            ]
            if changed:
                findings.append(
                    f"recording {entry.id} of side {side} has another {', '.join(changed)} in the "
                    "corpus"
                )
    return findings


def unlisted(split: Split, recordings: Iterable[RecordingInfo]) -> list[str]:
    """Return the ids of recordings that came after the split and are on no side."""
    listed = {entry.id for entries in split.sides.values() for entry in entries}
    return [i.id for i in recordings if i.id not in listed and i.id not in split.excluded]
