"""The settings of processing, which a corpus and every checkpoint keep."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from brainfm.filtering import TRANSITION


@dataclass(frozen=True, kw_only=True)
class ProcessingConfig:
    """How recordings become corpus signals; stored with the corpus and with every checkpoint.

    Parameters
    ----------
    sfreq
        Samples per second of the result, Hz.
    l_freq
        High-pass, Hz; 0 for none.
    h_freq
        Low-pass, Hz; a recording whose rate cannot carry it gets 0.4 times its rate instead.
    notch
        Remove mains hum and its harmonics: at the frequency in the header, else 50 or 60 Hz where
        the spectrum shows it.
    reference
        "average": EEG minus the mean of its good channels; "none": as recorded.
    bad_channels
        What becomes of bad channels: "mask" (kept, but hidden from models) or "interpolate" (EEG
        from its neighbours by MNE's spherical splines; MEG stays masked).
    detect_bad
        Look for bad channels besides those marked in the file.
    outlier_threshold
        A channel is bad whose log power is so many robust standard deviations from the others, in
        half of the bands.
    max_bad_share
        A channel with NaN, clipping, flat stretches or jumps in more than this share of its seconds
        is bad.
    flag_share
        Share of the good channels of a type that must clip, lie flat or jump to mark a second.
    clip
        Largest magnitude of the result, in robust standard deviations.
    min_channels
        Fewest good channels a recording may have.
    min_duration_s
        Shortest recording, seconds.
    block_s
        Seconds worked on at once; changes memory, never the result.
    """

    sfreq: float = 256.0
    l_freq: float = 0.1
    h_freq: float = 96.0
    notch: bool = True
    reference: Literal["average", "none"] = "average"
    bad_channels: Literal["mask", "interpolate"] = "mask"
    detect_bad: bool = True
    outlier_threshold: float = 6.0
    max_bad_share: float = 0.3
    flag_share: float = 0.05
    clip: float = 20.0
    min_channels: int = 2
    min_duration_s: float = 1.0
    block_s: float = 60.0

    def __post_init__(self) -> None:
        for name in ("sfreq", "h_freq", "outlier_threshold", "clip", "block_s"):
            if not 0 < getattr(self, name) < np.inf:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        if not 0 <= self.l_freq < self.h_freq:
            raise ValueError(f"l_freq must be at least 0 and below h_freq, got {self.l_freq} Hz")
        if self.h_freq * (1 + TRANSITION) > self.sfreq / 2:
            raise ValueError(
                f"h_freq must be at most 0.4 x sfreq = {0.4 * self.sfreq:g} Hz, got {self.h_freq}"
            )
        for name, choices in (
            ("reference", ("average", "none")),
            ("bad_channels", ("mask", "interpolate")),
        ):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {choices}, got {getattr(self, name)!r}")
        for name in ("max_bad_share", "flag_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie in [0, 1], got {getattr(self, name)}")
        if self.clip > 60000:
            raise ValueError(f"clip must fit float16 (at most 60000), got {self.clip}")

    def settings(self) -> dict[str, Any]:
        """Return what decides the result, as JSON values; the block length does not."""
        values = dataclasses.asdict(self)
        del values["block_s"]
        return values
