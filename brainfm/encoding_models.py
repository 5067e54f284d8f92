"""How well a stimulus predicts a brain response, and how well it could.

The prediction is ridge (:mod:`brainfm.ridge`, :mod:`brainfm.banded_ridge`); here is how it is
judged: r and R2 of every target, two-versus-two accuracy, the split-half noise ceiling, and the
table of network layers by time.

Shapes: N trials or stimuli, P features, Q targets (regions, voxels, sensors), R repeats, T times,
I layers.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from brainfm.ridge import RidgeConfig, fit_ridge
from brainfm.sensors import FloatArray


class Accuracy(NamedTuple):
    """``r`` and ``r2`` (Q,) of every target, ``two_v_two`` in [0, 1] of all targets together."""

    r: FloatArray
    r2: FloatArray
    two_v_two: float


class Ceiling(NamedTuple):
    """Noise ceiling of r, (Q,), with the interval ``low`` to ``high`` of it over splits."""

    r: FloatArray
    low: FloatArray
    high: FloatArray


def column_correlations(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return the correlation (Q,) of the columns of two tables (N, Q); NaN for constant ones."""
    if a.shape != b.shape or a.ndim != 2:
        raise ValueError(f"tables {a.shape} and {b.shape} cannot be compared column by column")
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    size = np.linalg.norm(a, axis=0) * np.linalg.norm(b, axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: FloatArray = np.where(size > 0, (a * b).sum(axis=0) / size, np.nan)
    return found


def two_v_two(predicted: FloatArray, truth: FloatArray) -> float:
    """Return how often two predictions are nearer to their own responses than exchanged.

    Over all pairs of trials: are d(i, i) + d(j, j) less than d(i, j) + d(j, i), with d one less the
    correlation over targets (Toneva, Wehbe 2019)? Ties count one half; chance is one half.

    Parameters
    ----------
    predicted, truth
        (N, Q), two trials and two targets or more.
    """
    if predicted.shape != truth.shape or min(predicted.shape) < 2:
        raise ValueError(
            "two-versus-two accuracy needs two tables of two or more trials and targets, got "
            f"{predicted.shape} and {truth.shape}"
        )
    distance = 1 - _standard_rows(predicted) @ _standard_rows(truth).T
    own = np.diagonal(distance)
    gain = (distance + distance.T) - (own[:, None] + own[None, :])
    pairs = gain[np.triu_indices(len(gain), k=1)]
    # Sums in another order differ by rounding; they are ties.
    return float(np.mean((pairs > 1e-12) + 0.5 * (np.abs(pairs) <= 1e-12)))


def _standard_rows(rows: FloatArray) -> FloatArray:
    apart = rows - rows.mean(axis=1, keepdims=True)
    size = np.linalg.norm(apart, axis=1, keepdims=True)
    return np.asarray(np.where(size > 0, apart / np.where(size > 0, size, 1), 0.0))


def accuracy(predicted: FloatArray, truth: FloatArray, *, center: FloatArray) -> Accuracy:
    """Return how good predictions (N, Q) of new trials are.

    Parameters
    ----------
    predicted, truth
        (N, Q).
    center
        (Q,) mean of the training responses: R2 compares with predicting it, and two-versus-two
        accuracy looks at differences from it.
    """
    left = ((truth - predicted) ** 2).sum(axis=0)
    there = ((truth - center) ** 2).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        r2 = np.where(there > 0, 1 - left / there, np.nan)
    r = column_correlations(predicted, truth)
    return Accuracy(r, r2, two_v_two(predicted - center, truth - center))


def noise_ceiling(
    responses: FloatArray, *, generator: np.random.Generator, n_splits: int = 100
) -> Ceiling:
    """Return the largest r with the mean response that a perfect model could have.

    Repeats are halved at random; the correlation h of the halves' means, over stimuli, is taken to
    that of all repeats by Spearman and Brown, 2 h / (1 + h), whose root is the ceiling. Below zero
    it is 0: noise has no ceiling to reach.

    Parameters
    ----------
    responses
        (R, N, Q), two repeats or more of three stimuli or more.
    generator
        Draws halves.
    n_splits
        How often. The interval, from the 2.5th to the 97.5th percentile, is over draws of halves
        and of stimuli, so that it holds 0 for noise.
    """
    if responses.ndim != 3 or len(responses) < 2 or responses.shape[1] < 3:
        raise ValueError(
            "responses must be (R, N, Q) with 2 repeats and 3 stimuli or more, got "
            f"{responses.shape}"
        )
    whole, drawn = [], []
    for _ in range(n_splits):
        order = generator.permutation(len(responses))
        half = len(order) // 2
        one, other = responses[order[:half]].mean(axis=0), responses[order[half:]].mean(axis=0)
        whole.append(column_correlations(one, other))
        some = generator.integers(0, responses.shape[1], responses.shape[1])
        drawn.append(column_correlations(one[some], other[some]))
    low, high = np.nanpercentile(np.stack(drawn), [2.5, 97.5], axis=0)
    return Ceiling(*(_of_all(h) for h in (np.nanmean(np.stack(whole), axis=0), low, high)))


def _of_all(half: FloatArray) -> FloatArray:
    half = np.clip(half, 0, 1)
    return np.asarray(np.sqrt(2 * half / (1 + half)))


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerTable:
    """r of held-out trials by layer and time.

    Parameters
    ----------
    layers
        Names, I.
    r
        (I, T, Q) mean over folds.
    """

    layers: tuple[str, ...]
    r: FloatArray

    def best_layer(self) -> FloatArray:
        """Return the place of the best layer, by the mean over targets, at every time (T,)."""
        return np.asarray(np.nanmean(self.r, axis=2).argmax(axis=0))


def layers_by_time(
    layers: Mapping[str, Tensor],
    responses: Tensor,
    folds: Tensor,
    config: RidgeConfig | None = None,
    *,
    progress: Callable[[str], None] | None = None,
) -> LayerTable:
    """Predict responses at every time from every layer, for trials left out.

    All times and targets are one closed form per layer and fold.

    Parameters
    ----------
    layers
        By name, features (N, P).
    responses
        (N, T, Q).
    folds
        (N,) number of the side each trial is left out with; keep repeats of a stimulus, and what
        overlaps in time, in one.
    config
        Penalties, per layer, time and target.
    progress
        Told each layer's name before its fit.
    """
    if responses.ndim != 3 or folds.shape != (len(responses),) or len(folds.unique()) < 2:
        raise ValueError(
            f"responses must be (N, T, Q) with two or more folds (N,), got "
            f"{tuple(responses.shape)} and {tuple(folds.shape)}"
        )
    n_times, n_targets = responses.shape[1:]
    flat, table = responses.reshape(len(responses), -1), []
    for name, features in layers.items():
        if progress is not None:
            progress(name)
        each = []
        for fold in folds.unique():
            out = folds == fold
            fit = fit_ridge(features[~out], flat[~out], config)
            predicted = fit.predict(features[out]).cpu().numpy()
            each.append(column_correlations(predicted, flat[out].double().cpu().numpy()))
        # A constant prediction (nothing was found) has no correlation and counts as none.
        table.append(np.nan_to_num(np.stack(each)).mean(axis=0))
    r = np.stack(table).reshape(len(layers), n_times, n_targets)
    return LayerTable(layers=tuple(layers), r=r)


def fit_and_judge(
    train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], config: RidgeConfig | None = None
) -> Accuracy:
    """Fit ridge to training features and responses and return its accuracy on test ones."""
    fit = fit_ridge(*train, config)
    predicted, truth = fit.predict(test[0]), test[1].to(torch.float64)
    center = train[1].to(torch.float64).mean(0)
    return accuracy(predicted.cpu().numpy(), truth.cpu().numpy(), center=center.cpu().numpy())
