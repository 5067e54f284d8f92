"""What a corpus knows of a recording besides its samples."""

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from brainfm.sensors import SENSOR_TYPES

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+=-]{0,199}")


@dataclass(frozen=True, kw_only=True)
class RecordingInfo:
    """One recording of a corpus.

    ``n_times``, ``types``, ``scale``, ``bad_channels``, ``bad_seconds`` and the two digests of
    content are filled in by the writer; everything else is the caller's.

    Parameters
    ----------
    id
        Unique in the corpus, stable between runs, part of the file name: letters, digits and
        ``. _ + = -``, at most 200 characters.
    dataset, subject
        Who was recorded for which data set; a subject's name counts inside its data set only.
    session, task, run
        As in BIDS; empty where there is none.
    source, source_digest, reading_digest
        Base name of the file that was read, the hash of its bytes, and that of how it was read.
    device
        Make of the amplifier or MEG system; empty where unknown.
    licence
        Licence of the data set; empty where unknown.
    sfreq
        Samples per second, Hz.
    highpass, lowpass
        Band the signal really has, Hz; None where unknown.
    line_freq
        Mains frequency, Hz; None where unknown or absent.
    config_digest
        Hash of the processing settings.
    n_times
        Samples per channel.
    types
        Number of channels per sensor type.
    scale
        SI value (V, T or T/m) that one unit of the stored signal stands for, per sensor type.
    bad_channels
        Channels that are stored but masked.
    bad_seconds
        Seconds whose quality track has any flag.
    digest
        Hash of all content: samples in channel order, sensors, mask, scale, quality, rate, band.
    signal_digest
        Hash of the samples alone, the same for every order of the channels: equal for a copy under
        another name.
    """

    id: str
    dataset: str
    subject: str
    session: str = ""
    task: str = ""
    run: str = ""
    source: str = ""
    source_digest: str = ""
    reading_digest: str = ""
    device: str = ""
    licence: str = ""
    sfreq: float
    highpass: float | None = None
    lowpass: float | None = None
    line_freq: float | None = None
    config_digest: str = ""
    n_times: int = 0
    types: Mapping[str, int] = field(default_factory=dict)
    scale: Mapping[str, float] = field(default_factory=dict)
    bad_channels: int = 0
    bad_seconds: int = 0
    digest: str = ""
    signal_digest: str = ""

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            raise ValueError(
                f"recording id {self.id!r} must be 1-200 letters, digits or . _ + = - and start "
                "with a letter or digit, because it names a file"
            )
        if not self.sfreq > 0:
            raise ValueError(f"recording {self.id}: sfreq must be positive (Hz), got {self.sfreq}")
        unknown = sorted(set(self.types) - set(SENSOR_TYPES))
        if unknown:
            raise ValueError(f"recording {self.id}: unknown sensor types {unknown}")

    @property
    def n_channels(self) -> int:
        """Return the number of channels C, bad ones included."""
        return sum(self.types.values())

    @property
    def duration(self) -> float:
        """Return the length in seconds."""
        return self.n_times / self.sfreq

    def to_json(self) -> str:
        """Return one line of JSON."""
        fields = dataclasses.asdict(self)
        return json.dumps(fields, ensure_ascii=False, allow_nan=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> "RecordingInfo":
        """Read what :meth:`to_json` wrote."""
        return cls(**json.loads(text))


def content_hash(*parts: Any) -> str:
    """Return the SHA-256 (hex) of values, the same on every machine; bytes go in unchanged."""
    state = hashlib.sha256()
    for part in parts:
        raw = (
            part
            if isinstance(part, bytes)
            else json.dumps(part, sort_keys=True, ensure_ascii=True).encode("ascii")
        )
        state.update(len(raw).to_bytes(8, "little"))
        state.update(raw)
    return state.hexdigest()
