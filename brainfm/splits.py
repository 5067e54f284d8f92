"""Which recordings are for training and which are not: decided once, from hashes, never moved.

A *unit* (subject, session, recording or data set) goes to the side that the hash of its name falls
on. Units that share a recording - the same samples under two names - go together. A unit keeps the
side it has in an earlier split, so adding data moves nothing; a new recording that would put the
same samples on two sides is left out and named.
"""

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from brainfm.atomic import write_json_atomic
from brainfm.copies import linked, marks_of
from brainfm.recording_info import RecordingInfo, content_hash

UNITS = ("subject", "session", "recording", "dataset")
FORMAT = 1
SPLIT_FILE = "split.json"
DEFAULT_FRACTIONS = {"train": 0.9, "validation": 0.05, "test": 0.05}

_LISTED = "id dataset subject session device digest signal_digest source_digest".split()  # noqa: SIM905


@dataclass(frozen=True, kw_only=True)
class SplitConfig:
    """How to divide a corpus.

    Parameters
    ----------
    by
        What is never divided: "subject" (within its data set), "session", "recording", "dataset".
    fractions
        Expected share of the units per side; they add up to 1.
    dataset_fractions
        Other fractions for single data sets, by name.
    held_out_devices
        Devices whose recordings, with all else of the same units, go to ``held_out_side``.
    held_out_side
        Side of the held-out devices.
    salt
        Any text; another one gives another division.
    """

    by: str = "subject"
    fractions: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_FRACTIONS))
    dataset_fractions: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    held_out_devices: tuple[str, ...] = ()
    held_out_side: str = "test"
    salt: str = ""

    def __post_init__(self) -> None:
        if self.by not in UNITS:
            raise ValueError(f"by must be one of {', '.join(UNITS)}, got {self.by!r}")
        per_set = {f"dataset_fractions[{k}]": v for k, v in self.dataset_fractions.items()}
        for name, shares in {"fractions": self.fractions, **per_set}.items():
            if min(shares.values(), default=-1.0) < 0 or abs(sum(shares.values()) - 1) > 1e-6:
                raise ValueError(
                    f"the shares of {name} must not be negative and add up to 1, got {dict(shares)}"
                )
            unknown = sorted(set(shares) - set(self.fractions))
            if unknown:
                raise ValueError(f"{name} has sides {unknown} that fractions does not have")
        if self.held_out_devices and self.held_out_side not in self.fractions:
            raise ValueError(f"held_out_side {self.held_out_side!r} is not among the fractions")


@dataclass(frozen=True, kw_only=True)
class Listed:
    """One recording in a split; fields as in :class:`RecordingInfo`."""

    id: str
    dataset: str
    subject: str
    session: str
    device: str
    digest: str
    signal_digest: str
    source_digest: str = ""


@dataclass(frozen=True, kw_only=True)
class Split:
    """The sides of a corpus.

    Parameters
    ----------
    config
        How it was divided.
    sides
        Recordings of each side, in the order of their ids.
    units
        Side of every unit there ever was; what keeps later splits from moving anything.
    excluded
        Recordings on no side, with the reason.
    """

    config: SplitConfig
    sides: Mapping[str, tuple[Listed, ...]]
    units: Mapping[str, str]
    excluded: Mapping[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Return a hash of which content is on which side, to be kept beside every result."""
        return content_hash(
            {side: [[e.id, e.digest] for e in es] for side, es in self.sides.items()}
        )

    def indices(
        self, recordings: Iterable[RecordingInfo], side: str, *, allow_new: bool = False
    ) -> list[int]:
        """Return the positions of one side's recordings in a corpus.

        Raises
        ------
        ValueError
            Unknown side; recordings that are gone, changed, or (unless ``allow_new``) not in the
            split.
        """
        if side not in self.sides:
            raise ValueError(f"the split has no side {side!r}; it has {', '.join(self.sides)}")
        here = {info.id: (i, info.digest) for i, info in enumerate(recordings)}
        known = {entry.id for entries in self.sides.values() for entry in entries}
        new = sorted(set(here) - known - set(self.excluded))
        if new and not allow_new:
            raise ValueError(
                f"{len(new)} recordings, e.g. {new[0]}, are not in the split; run 'brainfm corpus "
                "split' again (nothing moves)"
            )
        wrong = [e.id for e in self.sides[side] if here.get(e.id, (0, ""))[1] != e.digest]
        if wrong:
            raise ValueError(
                f"{len(wrong)} recordings of side {side}, e.g. {wrong[0]}, are gone from the "
                "corpus or changed since the split; run 'brainfm corpus split' again"
            )
        return sorted(here[entry.id][0] for entry in self.sides[side])

    def save(self, path: str | Path) -> None:
        """Write the manifest (JSON)."""
        content = dataclasses.asdict(self)
        write_json_atomic(path, {"format": FORMAT, "seal": content_hash(content), **content})

    @classmethod
    def load(cls, path: str | Path) -> "Split":
        """Read a manifest."""
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            if content["format"] != FORMAT:
                raise ValueError(f"format {content['format']}, this brainfm reads {FORMAT}")
            config = dict(content["config"])
            config["held_out_devices"] = tuple(config["held_out_devices"])
            return cls(
                config=SplitConfig(**config),
                sides={
                    side: tuple(Listed(**entry) for entry in entries)
                    for side, entries in content["sides"].items()
                },
                units=content["units"],
                excluded=content["excluded"],
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"{path} is not a split manifest ({error})") from error


def unit_of(info: RecordingInfo | Listed, by: str) -> str:
    """Return the name of what a recording is never separated from."""
    if by == "recording":
        return info.id
    parts = {"dataset": 1, "subject": 2, "session": 3}[by]
    return "/".join((info.dataset, info.subject, info.session)[:parts])


def _uniform(salt: str, unit: str) -> float:
    """Return a number in [0, 1) that depends on the two texts alone."""
    return int(content_hash(salt, unit)[:13], 16) / 16**13


def _side_of(position: float, fractions: Mapping[str, float]) -> str:
    edge = 0.0
    for side, share in fractions.items():
        edge += share
        if position < edge:
            return side
    return [side for side, share in fractions.items() if share > 0][-1]


def make_split(
    infos: Iterable[RecordingInfo],
    config: SplitConfig,
    *,
    earlier: Split | None = None,
    shared: Mapping[str, str] | None = None,
) -> Split:
    """Divide recordings; every unit of ``earlier`` keeps its side.

    ``shared`` names the recordings that hold stretches of others (:attr:`Corpus.shared`).

    Raises
    ------
    ValueError
        ``earlier`` was made with other settings (fractions of further data sets may be added).
    """
    infos = sorted(infos, key=lambda info: info.id)
    units = dict(earlier.units) if earlier else {}
    if earlier:
        _check_same_rules(earlier.config, config)
    shared = shared or {}
    first_of = linked(infos, lambda info: unit_of(info, config.by), shared)
    families: dict[str, list[RecordingInfo]] = {}
    for info in infos:
        families.setdefault(first_of[unit_of(info, config.by)], []).append(info)
    known = (
        frozenset(e.id for entries in earlier.sides.values() for e in entries) if earlier else ()
    )
    excluded: dict[str, str] = {}
    for members in families.values():
        excluded |= _place(members, config, units, frozenset(known), shared)
    sides: dict[str, list[Listed]] = {side: [] for side in config.fractions}
    for info in infos:
        if info.id not in excluded:
            entry = Listed(**{name: getattr(info, name) for name in _LISTED})
            sides[units[unit_of(info, config.by)]].append(entry)
    return Split(
        config=config,
        sides={side: tuple(entries) for side, entries in sides.items()},
        units=dict(sorted(units.items())),
        excluded=excluded,
    )


def _check_same_rules(old: SplitConfig, new: SplitConfig) -> None:
    added = {**new.dataset_fractions, **old.dataset_fractions}
    if dataclasses.replace(old, dataset_fractions=added) != new:
        raise ValueError(
            "the earlier split was made with other settings "
            f"(by {old.by}, fractions {dict(old.fractions)}, data sets "
            f"{ {k: dict(v) for k, v in old.dataset_fractions.items()} }, held-out devices "
            f"{list(old.held_out_devices)}, salt {old.salt!r}); repeat them, or write a new split "
            "to another file"
        )


def _place(
    members: Sequence[RecordingInfo],
    config: SplitConfig,
    units: dict[str, str],
    known: frozenset[str],
    shared: Mapping[str, str],
) -> dict[str, str]:
    """Give the units of one family a side and return the recordings that cannot have one."""
    names = sorted({unit_of(info, config.by) for info in members})
    taken = {units[name] for name in names if name in units}
    if not taken:
        first = min(names, key=lambda name: _uniform(config.salt, name))
        dataset = next(m.dataset for m in members if unit_of(m, config.by) == first)
        fractions = config.dataset_fractions.get(dataset, config.fractions)
        side = _side_of(_uniform(config.salt, first), fractions)
        if any(info.device in config.held_out_devices for info in members):
            side = config.held_out_side
        taken = {side}
    if len(taken) == 1:
        units.update({name: units.get(name, next(iter(taken))) for name in names})
    excluded: dict[str, str] = {}
    side_of_samples: dict[str, str] = {}
    # Recordings of an earlier split come first: what they hold decides, they never leave.
    for info in sorted(members, key=lambda info: (info.id not in known, info.id)):
        own = units.get(unit_of(info, config.by))
        late = info.id not in known
        if own is None:
            excluded[info.id] = "shares samples with recordings on different sides"
        elif late and info.device in config.held_out_devices and own != config.held_out_side:
            excluded[info.id] = f"its device is held out, but its {config.by} is in {own}"
        elif any(side_of_samples.setdefault(mark, own) != own for mark in marks_of(info, shared)):
            excluded[info.id] = f"the same samples are on another side than its {config.by}"
    return excluded
