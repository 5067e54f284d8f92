"""How far a model's output moves when sensors are elsewhere than it is told, or missing.

The signals stay the same; only what the model is told of the array changes. Differences are
between what the model makes of the true array and what it makes of the changed one.

Shapes: C good sensors, N sources, P latent frames, D width, Q quantizers, W windows, L samples.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brainfm.augmentation import rotation_matrices
from brainfm.brain_tokenizer import Sensors
from brainfm.corpus import Corpus
from brainfm.encoder import CHANNEL_WINDOWS, Encoder, canonical_order
from brainfm.fidelity import WindowGrid, choose_pieces
from brainfm.input_contract import contracted_positions, contracted_segment
from brainfm.objective import correlation
from brainfm.sensors import SensorArray

DRIFT_GRID = WindowGrid(max_windows=8, run=2)
"""A few windows are enough: the drift hardly depends on what is measured."""


class Placed(NamedTuple):
    """What the model is told of sensors: positions and orientations (C, 3), seen (C,) bool."""

    positions: NDArray[np.float64]
    orientations: NDArray[np.float64]
    seen: NDArray[np.bool_]


Change = Callable[[SensorArray, np.random.Generator], Placed]


@dataclass(frozen=True, kw_only=True)
class Drift:
    """How much one change of geometry moves what comes out, mean over draws.

    Parameters
    ----------
    recording
        Its id.
    change
        Key of :data:`CHANGES`.
    n_windows, n_draws
        Over how many windows and random changes.
    latent_distance
        Euclidean distance of latents before quantization, which have length 1: 0 equal, 1.41
        unrelated.
    latent_spread
        The same between moments of the recording half of the windows apart: what a distance means.
    codes_changed
        Share of codes that differ, by level.
    feature_distance, feature_spread
        As for latents, of the masked model's features; None without one.
    reconstruction_correlation
        Of the reconstructions over time, mean over channels: 1 equal.
    fidelity, fidelity_before
        Correlation of the recording with its reconstruction, with the change and without.
    """

    recording: str
    change: str
    n_windows: int
    n_draws: int
    latent_distance: float
    latent_spread: float
    codes_changed: tuple[float, ...]
    feature_distance: float | None
    feature_spread: float | None
    reconstruction_correlation: float
    fidelity: float
    fidelity_before: float


def shifted(metres: float) -> Change:
    """Return a shift of the whole array by ``metres`` in a random direction."""

    def change(sensors: SensorArray, rng: np.random.Generator) -> Placed:
        offset = metres * _direction(rng)
        everything = np.ones(len(sensors), bool)
        return Placed(sensors.positions + offset, sensors.orientations, everything)

    return change


def rotated(degrees: float) -> Change:
    """Return a rotation of the whole array about a random axis through the head's origin."""

    def change(sensors: SensorArray, rng: np.random.Generator) -> Placed:
        axis = torch.from_numpy(_direction(rng))[None]
        angle = torch.tensor([np.radians(degrees)], dtype=torch.float64)
        turn = rotation_matrices(axis, angle)[0].numpy()
        everything = np.ones(len(sensors), bool)
        return Placed(sensors.positions @ turn.T, sensors.orientations @ turn.T, everything)

    return change


def thinned(share: float) -> Change:
    """Return the loss of a random share of the channels; at least one stays."""

    def change(sensors: SensorArray, rng: np.random.Generator) -> Placed:
        seen = np.ones(len(sensors), bool)
        lost = min(int(share * len(sensors)), len(sensors) - 1)
        seen[rng.permutation(len(sensors))[:lost]] = False
        return Placed(sensors.positions, sensors.orientations, seen)

    return change


CHANGES: Mapping[str, Change] = MappingProxyType(
    {
        "5 mm coregistration error": shifted(0.005),
        "10 degrees of rotation": rotated(10.0),
        "half of the channels missing": thinned(0.5),
    }
)
"""Changes that are measured, by name."""


class _Output(NamedTuple):
    """Latents (N, P, D), codes (N, P, Q), features (N, P, D') or None, waveforms (C, W, L)."""

    latents: Tensor
    codes: Tensor
    features: Tensor | None
    waveform: Tensor


def measure_drift(
    encoder: Encoder,
    corpus: Corpus,
    index: int,
    *,
    grid: WindowGrid = DRIFT_GRID,
    n_draws: int = 3,
    seed: int = 0,
    changes: Mapping[str, Change] = CHANGES,
) -> list[Drift]:
    """Measure how far changes of the geometry move the output for one recording.

    Parameters
    ----------
    encoder
        Tokenizer, with or without masked model.
    corpus, index
        Where the recording is.
    grid
        Which windows.
    n_draws
        Random changes of each kind, at least 1.
    seed
        Of those.
    changes
        What is measured.

    Returns
    -------
    list of Drift
        One per change; none if no window of the recording is clean. The cost is that of encoding
        and decoding the windows ``1 + n_draws * len(changes)`` times.
    """
    if n_draws < 1:
        raise ValueError(f"n_draws must be at least 1, got {n_draws}")
    order = canonical_order(corpus.sensors(index), corpus.good(index))
    sensors = corpus.sensors(index).select(order)
    length = encoder.model.tokenizer.cfg.window
    pieces = choose_pieces(corpus, index, length, grid) if len(order) else []
    if not pieces:
        return []
    parts = [corpus.read(index, start, n * length)[order] for start, n in pieces]
    x = torch.from_numpy(np.concatenate(parts, axis=1)).to(encoder.device)
    contract, cfg = encoder.model.record.input_contract, encoder.model.tokenizer.cfg
    x = contracted_segment(x, sensors, corpus.channel_scale(index)[order], contract, cfg)
    everything = np.ones(len(sensors), bool)
    true = Placed(sensors.positions, sensors.orientations, everything)
    before = _run(encoder, x, sensors, true)
    rows = []
    for name, change in changes.items():
        rng = np.random.default_rng(seed)
        after = [_run(encoder, x, sensors, change(sensors, rng)) for _ in range(n_draws)]
        rows.append(_compare(corpus.recordings[index].id, name, x, before, after))
    return rows


def _run(encoder: Encoder, x: Tensor, sensors: SensorArray, placed: Placed) -> _Output:
    """Encode signals (C, T) of the seen sensors and reconstruct all."""
    tokenizer, masked = encoder.model.tokenizer, encoder.model.masked_model

    def row(values: NDArray[np.generic], dtype: torch.dtype) -> Tensor:
        return torch.from_numpy(values).to(encoder.device, dtype).unsqueeze(0)

    with torch.inference_mode():
        seen = row(placed.seen, torch.bool)
        types, everything = row(sensors.codes, torch.int64), torch.ones_like(seen)
        positions = row(placed.positions, torch.float32)
        contract = encoder.model.record.input_contract
        positions = contracted_positions(positions, types, everything, contract, tokenizer.cfg)
        orientations = row(placed.orientations, torch.float32)
        embedded = tokenizer.embed_sensors(positions, orientations, types, everything)
        windows = tokenizer.cut(x.unsqueeze(0), overlap=0.0)
        visible = Sensors(embedded.embedding, seen)
        # A causal tokenizer takes windows as one signal: in parts it would forget what was before.
        n_windows = windows.shape[2]
        at_once = n_windows if tokenizer.cfg.causal else max(1, CHANNEL_WINDOWS // len(sensors))
        parts = [tokenizer(part, visible, embedded) for part in windows.split(at_once, dim=2)]
        latents = torch.cat([part.latents for part in parts], dim=2)[0].float()
        codes = torch.cat([part.quantized.codes for part in parts], dim=2)
        waveform = torch.cat([part.waveform for part in parts], dim=2)[0].float()
        features = None if masked is None else masked.features(codes)[0].float()
    return _Output(latents, codes[0], features, waveform)


def _compare(
    recording: str, name: str, x: Tensor, before: _Output, after: Sequence[_Output]
) -> Drift:
    target = x.reshape(before.waveform.shape)

    def mean(values: list[Tensor]) -> float:
        return float(torch.stack(values).mean())

    features = spread = None
    if before.features is not None:
        pairs = [(a.features, before.features) for a in after if a.features is not None]
        features = mean([_distance(*pair) for pair in pairs])
        spread = float(_distance(before.features, _elsewhere(before.features)))
    changed = torch.stack([(a.codes != before.codes).float().flatten(0, 1).mean(0) for a in after])
    same = [correlation(a.waveform, before.waveform).mean() for a in after]
    return Drift(
        recording=recording,
        change=name,
        n_windows=target.shape[1],
        n_draws=len(after),
        latent_distance=mean([_distance(a.latents, before.latents) for a in after]),
        latent_spread=float(_distance(before.latents, _elsewhere(before.latents))),
        codes_changed=tuple(changed.mean(0).tolist()),
        feature_distance=features,
        feature_spread=spread,
        reconstruction_correlation=mean(same),
        fidelity=mean([correlation(a.waveform, target).mean() for a in after]),
        fidelity_before=float(correlation(before.waveform, target).mean()),
    )


def _distance(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).norm(dim=-1).mean()


def _elsewhere(tokens: Tensor) -> Tensor:
    """Return tokens (N, P, D) of the same sources, half of the frames later."""
    return tokens.roll(tokens.shape[1] // 2, dims=1)


def _direction(rng: np.random.Generator) -> NDArray[np.float64]:
    vector = rng.standard_normal(3)
    return np.asarray(vector / np.linalg.norm(vector))
