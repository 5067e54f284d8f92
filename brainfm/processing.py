"""From a recording in SI units to the standardised signal that every model sees.

In this order: bad channels found; 0.1-96 Hz and 256 Hz; mains hum notched; EEG average reference;
one robust scale per sensor type; clipped and rounded to float16. Everything runs in blocks, so
memory does not grow with the recording, and no result depends on the block length. Training data
and the input of ``model.encode`` both come from here.

Shapes: C channels, T samples, S seconds.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain as chained
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from brainfm.bad_channels import (
    flat_channels,
    spectrum,
    spectrum_outliers,
    spoiled_channels,
    spread_segments,
)
from brainfm.filtering import (
    TRANSITION,
    make_kernel,
    make_resampler,
    usable_lowpass,
)
from brainfm.interpolation import interpolation_matrix
from brainfm.line_noise import detect_line, harmonics
from brainfm.processing_config import ProcessingConfig
from brainfm.quality import (
    SecondStatistics,
    annotated_seconds,
    channel_flags,
    median_seconds,
    quality_track,
    second_edges,
    second_statistics,
)
from brainfm.raw_blocks import RawReader
from brainfm.recordings import Recording
from brainfm.scaling import channel_spread, to_half, type_scales
from brainfm.sensors import SensorArray
from brainfm.signal_chain import SignalChain

__all__ = ["Processed", "ProcessingConfig", "process"]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

POTENTIALS = ("eeg",)
SCALE_SEGMENTS, SCALE_SEGMENT_S = 10, 12.0
"""A recording's scale is that of this many evenly spread pieces, all of it when it is shorter."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Processed:
    """A recording ready for a model; the signal is computed when asked for.

    Parameters
    ----------
    sensors
        The C sensors, in the order of the recording.
    sfreq, n_times
        Rate in Hz and samples of the result; sample ``n`` lies at ``n / sfreq`` seconds.
    good
        (C,) false where models must not look.
    bad_reasons
        Name of each bad channel, and why.
    scale
        SI value (V, T, T/m) that one unit of the result stands for, per sensor type.
    highpass, lowpass
        Band the signal really has, Hz, the recording's own hardware included.
    line_freq
        Mains frequency of the recording, Hz; None where unknown and not found.
    notches
        Frequencies removed, Hz.
    quality
        (S,) a :class:`~brainfm.quality.Quality` byte per second begun.
    """

    sensors: SensorArray
    sfreq: float
    n_times: int
    good: BoolArray
    bad_reasons: dict[str, str]
    scale: dict[str, float]
    highpass: float | None
    lowpass: float
    line_freq: float | None
    notches: tuple[float, ...]
    quality: NDArray[np.uint8]
    clip: float
    chain: SignalChain

    @property
    def channel_scale(self) -> FloatArray:
        """Return the SI value of one unit of the result, (C,)."""
        return np.array([self.scale[kind] for kind in self.sensors.types.tolist()])

    def blocks(self) -> Iterator[NDArray[np.float16]]:
        """Yield the signal in order as (C, n) float16 blocks."""
        scale = self.channel_scale
        for x, missing in self.chain.signal(0, self.n_times):
            y = to_half(x, scale, self.clip)
            if missing is not None:
                y[missing] = 0
            yield y

    def array(self) -> NDArray[np.float16]:
        """Return all of the signal, (C, T) float16."""
        return np.concatenate(list(self.blocks()), axis=1)


def process(recording: Recording, cfg: ProcessingConfig | None = None) -> Processed:
    """Look through a recording once and return how it becomes a standardised signal.

    Raises
    ------
    ValueError
        Too short, or too few good channels; the message says which and why.
    """
    cfg = cfg or ProcessingConfig()
    if recording.duration < cfg.min_duration_s:
        raise ValueError(
            f"{recording.source}: lasts {recording.duration:.3g} s, needed are at least "
            f"{cfg.min_duration_s:g} s"
        )
    types = recording.sensors.types
    reader = RawReader.make(recording)
    look = _look(recording, cfg, reader)
    good, line = look.good, look.line
    average = np.isin(types, POTENTIALS) & (cfg.reference == "average")
    average &= bool((average & good).any())  # where no electrode is good, none is re-referenced
    mixing = None
    if cfg.bad_channels == "interpolate":
        mixing, mended = interpolation_matrix(recording.sensors, good)
        good = good | mended
    track = quality_track(look.flags, good, types, share=cfg.flag_share)
    track |= annotated_seconds(recording.annotations, len(track))

    h_freq = usable_lowpass(cfg.h_freq, recording.sfreq, cfg.sfreq)
    resampler = make_resampler(recording.sfreq, cfg.sfreq, h_freq)
    notches = harmonics(line, h_freq * (1 + TRANSITION)) if cfg.notch else ()
    chain = SignalChain(
        reader=reader,
        offset=look.offset,
        resampler=resampler,
        kernel=make_kernel(cfg.sfreq, cfg.l_freq or None, notches),
        mixing=mixing,
        reference=average & good,
        average=average,
        block=max(1, round(cfg.block_s * cfg.sfreq)),
    )
    length = round(SCALE_SEGMENT_S * cfg.sfreq)
    segments = spread_segments(chain.n_times, SCALE_SEGMENTS, length)
    if chain.n_times <= SCALE_SEGMENTS * length:
        segments = [(0, chain.n_times)]
    pieces = chained.from_iterable(chain.signal(start, stop) for start, stop in segments)
    return Processed(
        sensors=recording.sensors,
        sfreq=cfg.sfreq,
        n_times=chain.n_times,
        good=good,
        bad_reasons=look.reasons,
        scale=type_scales(channel_spread(pieces), good, types),
        highpass=max(cfg.l_freq, recording.highpass or 0.0) or None,
        lowpass=min(h_freq, recording.lowpass or h_freq),
        line_freq=line,
        notches=notches,
        quality=_fit(track, -int(-chain.n_times // cfg.sfreq)),
        clip=cfg.clip,
        chain=chain,
    )


class _Look(NamedTuple):
    """What a first look at the raw recording tells; mains frequency in Hz, flags (C, S)."""

    good: BoolArray
    reasons: dict[str, str]
    line: float | None
    flags: NDArray[np.uint8]
    offset: FloatArray


def _look(recording: Recording, cfg: ProcessingConfig, reader: RawReader) -> _Look:
    """Look through the raw recording; its statistics, which grow with it, end here."""
    frequencies, power = spectrum(reader.read, recording.n_times, recording.sfreq)
    edges = second_edges(recording.n_times, recording.sfreq)
    stats = second_statistics(
        reader.whole_seconds(edges), edges, reader.n_channels, recording.sfreq
    )
    flags = channel_flags(stats, recording.sfreq)
    line = recording.line_freq or detect_line(frequencies, power, recording.sensors.types)
    good, reasons = _judge(recording, cfg, stats, flags, (frequencies, power), line)
    offset = median_seconds((stats.low + stats.high) / 2)  # the middle of each channel
    return _Look(good, reasons, line, flags, offset[:, None])


def _judge(
    recording: Recording,
    cfg: ProcessingConfig,
    stats: SecondStatistics,
    flags: NDArray[np.uint8],
    spectra: tuple[FloatArray, FloatArray],
    line: float | None,
) -> tuple[BoolArray, dict[str, str]]:
    """Return which channels are good (C,), and why each of the others is not."""
    types, names = recording.sensors.types, recording.sensors.names
    reasons: dict[str, str] = {}
    good = np.ones(len(types), dtype=bool)

    def drop(bad: BoolArray, reason: str) -> None:
        reasons.update({names[i]: reason for i in np.flatnonzero(bad & good)})
        good[bad] = False

    drop(np.asarray(recording.bads, dtype=bool), "marked bad in the file")
    drop(np.asarray(~np.isfinite(stats.low).any(axis=1)), "no samples")
    if cfg.detect_bad:
        drop(flat_channels(stats, types), "flat")
        drop(spoiled_channels(flags, cfg.max_bad_share), "NaN, clipped, flat or jumping too often")
        far = spectrum_outliers(*spectra, types, good, line=line, threshold=cfg.outlier_threshold)
        drop(far, "spectrum unlike the others")
    potentials = np.isin(types, POTENTIALS) & good
    if cfg.reference == "average" and potentials.sum() == 1:
        drop(potentials, "alone: an average reference needs two channels")
    needed = max(1, cfg.min_channels)
    if good.sum() < needed:
        why = "; ".join(f"{name}: {reason}" for name, reason in list(reasons.items())[:3])
        more = f" ({why}{'; ...' if len(reasons) > 3 else ''})" if reasons else ""
        raise ValueError(
            f"{recording.source}: {int(good.sum())} usable of {len(good)} channels, needed are at "
            f"least {needed}{more}"
        )
    return good, reasons


def _fit(track: NDArray[np.uint8], n_seconds: int) -> NDArray[np.uint8]:
    """Return the track at the result's length: its rounding may begin or end another second."""
    return np.pad(track, (0, max(0, n_seconds - len(track))), mode="edge")[:n_seconds]
