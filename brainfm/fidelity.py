"""How much of a recording its codes keep: original against reconstruction, per sensor type.

The reconstruction goes through the codes, with all good channels visible and windows that do not
overlap. Predicting zero has a correlation of 0 and an error of 1.

Shapes: C good sensors, W windows, L samples a window, T samples of a piece, R recordings.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray

from brainfm.corpus import Corpus
from brainfm.encoder import Encoder, canonical_order
from brainfm.fidelity_round_trip import round_trips
from brainfm.objective import correlation
from brainfm.sensors import SENSOR_TYPES, SensorArray
from brainfm.stretches import find_stretches

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class WindowGrid:
    """Which windows of a recording are looked at; windows with flagged seconds never are.

    Parameters
    ----------
    max_windows
        Most windows of a recording, evenly spread over it.
    run
        Most windows in a row; slow waves are judged over a run.
    """

    max_windows: int = 32
    run: int = 4

    def __post_init__(self) -> None:
        if not 1 <= self.run <= self.max_windows:
            raise ValueError(
                f"run must lie in [1, max_windows], got run={self.run}, "
                f"max_windows={self.max_windows}"
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class Reconstructed:
    """Pieces of a recording beside what its codes give back.

    Parameters
    ----------
    sensors
        The C good sensors, in canonical order.
    scale
        (C,) SI value of one unit of the signals.
    sfreq
        Hz.
    window
        L.
    starts
        First sample of each piece in the recording.
    original, reconstruction
        Pieces (C, T), T a multiple of L; empty if no window of the recording is clean.
    codes
        Codes (N, P, Q) of every piece, P frames.
    """

    sensors: SensorArray
    scale: NDArray[np.float64]
    sfreq: float
    window: int
    starts: tuple[int, ...]
    original: tuple[FloatArray, ...]
    reconstruction: tuple[FloatArray, ...]
    codes: tuple[NDArray[np.int64], ...] = ()

    def windows(self) -> tuple[FloatArray, FloatArray]:
        """Return original and reconstruction cut into windows, (C, W, L)."""
        pattern, length = "c (w l) -> c w l", self.window
        original, reconstruction = (
            np.concatenate([rearrange(piece, pattern, l=length) for piece in pieces], axis=1)
            for pieces in (self.original, self.reconstruction)
        )
        return original, reconstruction

    def types(self) -> list[str]:
        """Return the sensor types there are, in the order of :data:`SENSOR_TYPES`."""
        return [kind for kind in SENSOR_TYPES if kind in self.sensors.types]


@dataclass(frozen=True, kw_only=True)
class Fidelity:
    """What codes keep of the channels of one sensor type of a recording.

    Parameters
    ----------
    recording
        Its id.
    sensor_type
        Key of :data:`SENSOR_TYPES`.
    n_channels, n_windows
        What was looked at.
    correlation
        Of original and reconstruction over time, mean over channels and windows.
    correlation_interval
        95 % bootstrap interval over windows: of this recording, not of other people.
    error_ratio
        Sum of absolute errors over what predicting zero would leave.
    error_interval
        As ``correlation_interval``.
    """

    recording: str
    sensor_type: str
    n_channels: int
    n_windows: int
    correlation: float
    correlation_interval: tuple[float, float]
    error_ratio: float
    error_interval: tuple[float, float]


def choose_pieces(
    corpus: Corpus, index: int, length: int, grid: WindowGrid
) -> list[tuple[int, int]]:
    """Return (first sample, windows) of evenly spread clean pieces of a recording."""
    stretches = find_stretches(corpus, [index], length, 0.0)
    pieces: list[tuple[int, int]] = []
    for begin, samples in zip(stretches.begin.tolist(), stretches.length.tolist(), strict=True):
        total = samples // length
        for part in np.array_split(np.arange(total), -(-total // grid.run)):
            pieces.append((begin + int(part[0]) * length, len(part)))
    if sum(n for _, n in pieces) <= grid.max_windows:
        return pieces
    wanted = min(len(pieces), grid.max_windows // grid.run)
    chosen = np.linspace(0, len(pieces) - 1, wanted).round().astype(int)
    return [pieces[k] for k in chosen]


def reconstruct(
    encoder: Encoder, corpus: Corpus, index: int, grid: WindowGrid = WindowGrid()
) -> Reconstructed:
    """Send evenly spread pieces of a recording through the codes and back.

    Parameters
    ----------
    encoder
        Model whose tokenizer is used.
    corpus, index
        Where the recording is.
    grid
        Which windows.
    """
    pieces = choose_pieces(corpus, index, encoder.model.tokenizer.cfg.window, grid)
    return reconstruct_pieces(encoder, corpus, index, pieces)


def reconstruct_pieces(
    encoder: Encoder, corpus: Corpus, index: int, pieces: Sequence[tuple[int, int]]
) -> Reconstructed:
    """Send pieces of a recording, (first sample, windows) each, through the codes and back.

    A causal tokenizer runs over everything from the first sample to the last piece: in the middle
    of a long recording its codes cost what all before them cost.

    Raises
    ------
    ValueError
        The recording has sensors that the model does not take.
    """
    length = encoder.model.tokenizer.cfg.window
    order = canonical_order(corpus.sensors(index), corpus.good(index))
    sensors = corpus.sensors(index).select(order)
    pieces = pieces if len(order) else []
    trips = []
    if pieces:
        encoder.check_types(sensors)
        trips = round_trips(encoder, corpus, index, order, encoder.embed(sensors), pieces)
    original = [corpus.read(index, start, n * length)[order] for start, n in pieces]
    return Reconstructed(
        sensors=sensors,
        scale=corpus.channel_scale(index)[order],
        sfreq=float(corpus.columns.sfreq[index]),
        window=length,
        starts=tuple(start for start, _ in pieces),
        original=tuple(original),
        reconstruction=tuple(trip.waveform for trip in trips),
        codes=tuple(trip.codes for trip in trips),
    )


def fidelity_of(
    result: Reconstructed, recording: str, *, n_resamples: int = 2000, seed: int = 0
) -> list[Fidelity]:
    """Measure a reconstruction; one entry per sensor type, none if there is no clean window."""
    if not result.original:
        return []
    original, reconstruction = result.windows()
    per_channel = correlation(torch.from_numpy(reconstruction), torch.from_numpy(original)).numpy()
    error = np.abs(reconstruction.astype(np.float64) - original).mean(-1)
    silence = np.abs(original.astype(np.float64)).mean(-1)
    n_windows = original.shape[1]
    draws = np.random.default_rng(seed).integers(0, n_windows, (n_resamples, n_windows))
    rows = []
    for kind in result.types():
        of_kind = result.sensors.types == kind
        r = per_channel[of_kind].mean(0).astype(np.float64)
        e, z = error[of_kind].sum(0), silence[of_kind].sum(0)
        rows.append(
            Fidelity(
                recording=recording,
                sensor_type=kind,
                n_channels=int(of_kind.sum()),
                n_windows=n_windows,
                correlation=float(r.mean()),
                correlation_interval=_interval(r[draws].mean(1)),
                error_ratio=float(_ratio(e.sum(keepdims=True), z.sum(keepdims=True))[0]),
                error_interval=_interval(_ratio(e[draws].sum(1), z[draws].sum(1))),
            )
        )
    return rows


def measure_fidelity(
    encoder: Encoder, corpus: Corpus, index: int, *, grid: WindowGrid = WindowGrid(), seed: int = 0
) -> list[Fidelity]:
    """Measure how much of one recording its codes keep.

    Parameters
    ----------
    encoder
        Model whose tokenizer is used.
    corpus, index
        Where the recording is.
    grid
        Which windows.
    seed
        Of the bootstrap.

    Returns
    -------
    list of Fidelity
        One per sensor type; none if no window of the recording is clean.
    """
    result = reconstruct(encoder, corpus, index, grid)
    return fidelity_of(result, corpus.recordings[index].id, seed=seed)


def _ratio(error: NDArray[np.float64], silence: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return error over silence; 1 where there is nothing to predict and nothing wrong."""
    return np.divide(error, silence, out=np.ones_like(error), where=silence > 0)


def _interval(resampled: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.quantile(resampled, [0.025, 0.975])
    return float(low), float(high)
