"""What a synthetic person hears and sees, and when.

Onsets and durations are in s from the first sample.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import mne

COLUMNS = ("onset", "duration", "trial_type", "stim_file", "content_id")


@dataclass(frozen=True, kw_only=True)
class Presentation:
    """One stimulus at one time.

    Parameters
    ----------
    onset, duration
        Seconds; a sound that the recording ends in has the duration that was heard.
    kind
        ``speech`` or ``image``.
    stimulus
        Its place in the list of stimuli.
    name
        File name of a sound, ``image-00012`` of a row of features.
    content_id
        The same for the same sound or features under any name
        (:func:`brainfm.trial_events.content_id`).
    """

    onset: float
    duration: float
    kind: str
    stimulus: int
    name: str
    content_id: str


def events_table(presentations: Iterable[Presentation]) -> str:
    """Return BIDS' ``events.tsv``, by onset."""
    lines = ["\t".join(COLUMNS)]
    for p in sorted(presentations, key=lambda p: p.onset):
        lines.append(
            f"{p.onset:.6f}\t{p.duration:.6f}\tsynthetic/{p.kind}\t{p.name}\t{p.content_id}"
        )
    return "\n".join(lines) + "\n"


def event_annotations(presentations: Sequence[Presentation]) -> mne.Annotations:
    """Return annotations described as ``synthetic/KIND/CONTENT_ID``, by onset."""
    ordered = sorted(presentations, key=lambda p: p.onset)
    return mne.Annotations(
        onset=[p.onset for p in ordered],
        duration=[p.duration for p in ordered],
        description=[f"synthetic/{p.kind}/{p.content_id}" for p in ordered],
    )
