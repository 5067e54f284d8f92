"""A recording: a signal read lazily in SI units, and the sensors that measured it.

Whatever MNE reads becomes a :class:`Recording`; so do MNE objects and plain arrays in memory.

Shapes: C sensors, T samples.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import mne
import numpy as np
from numpy.typing import ArrayLike, NDArray

from brainfm.amplitude import (
    SEGMENTS,
    SegmentReader,
    amplitude_problem,
    median_amplitude,
    parse_unit,
    stretches,
    unit_factors,
)
from brainfm.channels import ReadOptions, Selection, select_channels
from brainfm.formats import channel_rates, open_epochs, open_raw, quiet_mne
from brainfm.geometry import geometry_problem
from brainfm.header import Annotation, annotation_list, header_facts
from brainfm.lazy_signal import ArraySignal, EpochSignal, RawSignal, acquisition_gaps
from brainfm.sensors import FloatArray, SensorArray

__all__ = [
    "Annotation",
    "ReadOptions",
    "Recording",
    "read_recording",
    "read_recordings",
    "recording_from_array",
    "recording_from_raw",
    "recordings_from_epochs",
]


@dataclass(frozen=True, kw_only=True, eq=False)
class Recording:
    """One continuous recording; its samples stay on disk until :meth:`read` asks for them.

    Parameters
    ----------
    source
        Path, or a word for what it was made from.
    sensors
        The C sensors, in the order of the file.
    sfreq
        Samples per second.
    n_times
        Number of samples.
    signal
        ``signal(start, stop)`` -> (C, stop - start) in V, T or T/m.
    bads
        (C,) true where the file marks the channel bad.
    line_freq
        Mains frequency in Hz by option or header; None when neither tells.
    highpass, lowpass
        Corner frequencies in Hz of the header; None when unknown or without effect.
    subject
        From the BIDS file name, else the header.
    annotations
        (onset in seconds from the first sample, duration in seconds, description), by onset.
    device
        Maker of the MEG coils, else what the header says, else the file format.
    excluded
        Channels of the file that are no sensors here, with the reason.
    notes
        What was assumed or repaired, one sentence each, for quality reports.
    compensation_grade
        Grade of CTF's noise compensation in the data as read; None for other systems.
    """

    source: str
    sensors: SensorArray
    sfreq: float
    n_times: int
    signal: SegmentReader
    bads: NDArray[np.bool_]
    line_freq: float | None = None
    highpass: float | None = None
    lowpass: float | None = None
    subject: str | None = None
    annotations: tuple[Annotation, ...] = ()
    device: str = "array"
    excluded: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    compensation_grade: int | None = None

    def __post_init__(self) -> None:
        if self.bads.shape != (len(self.sensors),):
            raise ValueError(f"{self.source}: bads has shape {self.bads.shape}, not (C,)")
        if not (np.isfinite(self.sfreq) and self.sfreq > 0):
            raise ValueError(f"{self.source}: sampling rate must be above 0 Hz, got {self.sfreq}")
        if self.n_times < 1:
            raise ValueError(f"{self.source}: holds no samples")
        if not len(self.sensors):
            raise ValueError(f"{self.source}: holds no EEG or MEG channels")

    @property
    def duration(self) -> float:
        """Return the length in seconds."""
        return self.n_times / self.sfreq

    def read(self, start: int, stop: int) -> FloatArray:
        """Return samples ``start`` to ``stop`` (exclusive), (C, stop - start), float64 in SI units.

        Stretches in which nothing was acquired (pauses) are NaN.
        """
        if not 0 <= start <= stop <= self.n_times:
            raise ValueError(
                f"{self.source}: samples {start} to {stop} are not within 0 to {self.n_times}"
            )
        return self.signal(start, stop)


def read_recording(path: str | Path, options: ReadOptions | None = None) -> Recording:
    """Open a recording file in any format MNE reads; a split FIF file counts as one.

    Raises
    ------
    ValueError, FileNotFoundError
        With one line that names the file, what was found, and the option that mends it.
    """
    raw = open_raw(path)
    chosen = _select(raw, options or ReadOptions(), str(path))
    if not _is_slower(raw, chosen.picks):
        return recording_from_raw(raw, options, source=str(path))
    # Alone, the sensors come at their own rate and need no resampling by the reader.
    names = [raw.ch_names[i] for i in chosen.picks]
    alone = recording_from_raw(open_raw(path, include=names), options, source=str(path))
    return replace(alone, excluded=chosen.excluded, notes=chosen.notes)


def read_recordings(path: str | Path, options: ReadOptions | None = None) -> list[Recording]:
    """Open a file of either kind: one recording, or one for every epoch of a file of epochs."""
    try:
        return [read_recording(path, options)]
    except ValueError:
        epochs = open_epochs(path)
        if epochs is None:
            raise
    return recordings_from_epochs(epochs, options, source=str(path))


def recording_from_raw(
    raw: mne.io.BaseRaw, options: ReadOptions | None = None, *, source: str = "Raw"
) -> Recording:
    """Make a recording of an MNE Raw, which is neither changed nor copied nor loaded.

    The exception: sensors that their file stores more slowly than other channels (EDF) are copied
    to memory, since MNE resamples them anew in every stretch that it reads.
    """
    options = options or ReadOptions()
    chosen = _select(raw, options, source)
    if not raw.preload and _is_slower(raw, chosen.picks):
        with quiet_mne():
            raw = raw.copy().pick(chosen.picks.tolist()).load_data()
        chosen = replace(chosen, picks=np.arange(len(chosen.picks)))
    factors = _factors(options.unit, chosen.sensors, source)
    signal = RawSignal(raw, chosen.picks, factors, acquisition_gaps(raw), source)
    looked_at = stretches(signal, raw.n_times, raw.info["sfreq"])
    _check(source, chosen.sensors, looked_at, options.unit)
    return Recording(
        signal=signal,
        n_times=int(raw.n_times),
        annotations=annotation_list(raw),
        **header_facts(raw, chosen, options, source),
    )


def recordings_from_epochs(
    epochs: mne.BaseEpochs, options: ReadOptions | None = None, *, source: str = "Epochs"
) -> list[Recording]:
    """Make one recording of every epoch (trial), in order; its event is its only annotation."""
    options = options or ReadOptions()
    with quiet_mne():
        kept = epochs if epochs.preload else epochs.copy().drop_bad()
    if len(kept) == 0:
        raise ValueError(f"{source}: holds no epochs")
    chosen = _select(kept, options, source)
    factors = _factors(options.unit, chosen.sensors, source)
    n_times = len(kept.times)
    signals = [EpochSignal(kept, i, chosen.picks, factors) for i in range(len(kept))]
    step = -(-len(signals) // SEGMENTS)
    looked_at = (signal(0, n_times) for signal in signals[::step])
    _check(source, chosen.sensors, looked_at, options.unit)
    header = header_facts(kept, chosen, options, source)
    names = {code: name for name, code in kept.event_id.items()}
    return [
        Recording(
            signal=signal,
            n_times=n_times,
            annotations=((-float(kept.tmin), 0.0, names.get(code, str(code))),),
            **header | {"source": f"{source}[{i}]"},
        )
        for i, (signal, code) in enumerate(zip(signals, kept.events[:, 2].tolist(), strict=True))
    ]


def recording_from_array(
    array: ArrayLike,
    sfreq: float,
    sensors: SensorArray,
    *,
    unit: str | None = None,
    line_freq: float | None = None,
    bads: Sequence[str] = (),
    highpass: float | None = None,
    lowpass: float | None = None,
    subject: str | None = None,
    source: str = "array",
) -> Recording:
    """Make a recording of an array (C, T) in V, T or T/m, which is not copied.

    Parameters
    ----------
    array
        (C, T), rows in the order of ``sensors``. NaN stands for missing samples.
    sfreq
        Samples per second.
    sensors
        What measured the rows; :func:`brainfm.montage.sensors_by_name` makes it from EEG names.
    unit
        What the numbers are when they are not SI, ``"uV"``.
    line_freq, highpass, lowpass
        Hz.
    bads
        Names of bad channels.
    subject, source
        For the record.
    """
    values = np.asarray(array)
    if values.ndim != 2 or len(values) != len(sensors):
        raise ValueError(
            f"{source}: shape {values.shape} is not (C, T) with C = {len(sensors)} sensors"
        )
    if values.dtype.kind not in "fiu":
        raise ValueError(f"{source}: expected real numbers, got {values.dtype}")
    unknown = sorted(set(bads) - set(sensors.names))
    if unknown:
        raise ValueError(f"{source}: bads {unknown} are no channels of it")
    signal = ArraySignal(values, _factors(unit, sensors, source))
    recording = Recording(
        source=source,
        sensors=sensors,
        sfreq=float(sfreq),
        n_times=values.shape[1],
        signal=signal,
        bads=np.isin(sensors.names, list(bads)),
        line_freq=line_freq,
        highpass=highpass,
        lowpass=lowpass,
        subject=subject,
    )
    looked_at = stretches(signal, recording.n_times, recording.sfreq)
    _check(source, sensors, looked_at, unit)
    return recording


def _is_slower(raw: mne.io.BaseRaw, picks: NDArray[np.int64]) -> bool:
    rates = channel_rates(raw)
    return rates is not None and bool(np.any(rates[picks] < raw.info["sfreq"] * (1 - 1e-6)))


def _select(instance: Any, options: ReadOptions, source: str) -> Selection:
    rates = channel_rates(instance) if isinstance(instance, mne.io.BaseRaw) else None
    reader = type(instance).__name__
    try:
        with quiet_mne():
            return select_channels(instance.info, options, reader=reader, rates=rates)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error


def _factors(unit: str | None, sensors: SensorArray, source: str) -> FloatArray:
    try:
        return unit_factors(unit, sensors.types)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error


def _check(
    source: str, sensors: SensorArray, looked_at: Iterable[FloatArray], unit: str | None
) -> None:
    """Refuse geometry and amplitudes that cannot be a brain's, both in one line."""
    accepted = {si for si, factor in parse_unit(unit).items() if factor == 1} if unit else set()
    amplitudes = median_amplitude(looked_at, sensors.types)
    problems = [geometry_problem(sensors), amplitude_problem(amplitudes, accepted)]
    found = [problem for problem in problems if problem]
    if found:
        raise ValueError(f"{source}: {'; also: '.join(found)}")
