"""Short real recordings for the demo and the tests; sources and licences in README.md beside it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Role = Literal["train", "held-out", "unseen"]

_FOLDER = Path(__file__).resolve().parent

CATALOGUE = _FOLDER / "catalogue.yaml"
"""The same recordings with devices and licences, for ``brainfm prepare --catalogue``."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One bundled recording.

    Parameters
    ----------
    file
        Name inside this folder.
    device
        What recorded it.
    group
        Recordings of one person in one session share a group: a split must not cut through it when
        it is to say anything about new people.
    role
        ``train``: may be learned from. ``held-out``: another recording of a kind that was learned
        from. ``unseen``: from a device that was not.
    """

    file: str
    device: str
    group: str
    role: Role

    @property
    def path(self) -> Path:
        """Return where the recording lies."""
        return _FOLDER / self.file


SAMPLES = (
    Sample(file="neuromag_1_raw.fif", device="Neuromag MEG + EEG", group="neuromag", role="train"),
    Sample(
        file="neuromag_2_raw.fif", device="Neuromag MEG + EEG", group="neuromag", role="held-out"
    ),
    Sample(file="eegmmidb_1.edf", device="BCI2000 64 EEG", group="eegmmidb", role="train"),
    Sample(file="eegmmidb_2.edf", device="BCI2000 64 EEG", group="eegmmidb", role="held-out"),
    Sample(file="hypyp_1.edf", device="31 EEG cap", group="hypyp", role="train"),
    Sample(file="hypyp_2.edf", device="31 EEG cap", group="hypyp", role="held-out"),
    Sample(file="eeglab_raw.fif", device="32 EEG cap", group="eeglab", role="unseen"),
    Sample(file="muse.edf", device="Muse headband", group="muse", role="unseen"),
)
"""Every bundled recording, training ones of each device first."""


def sample_paths(role: Role | None = None) -> list[Path]:
    """Return the bundled recordings, all or those of one role, in the order of the table."""
    known = ("train", "held-out", "unseen")
    if role is not None and role not in known:
        raise ValueError(f"role must be one of {known} or None, got {role!r}")
    return [sample.path for sample in SAMPLES if role in (None, sample.role)]
