"""Encoding models of a table of trials, fold by fold, beside the same with trials shuffled.

Shapes: N trials, P features of a layer, T times, Q targets, R repeats, I layers.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brainfm.banded_ridge import fit_banded_ridge
from brainfm.encoding_models import Accuracy, Ceiling, accuracy, noise_ceiling
from brainfm.in_context_encoding import InContextConfig, InContextEncoder, train_in_context
from brainfm.ridge import fit_ridge

Method = Literal["ridge", "banded", "few_shot"]
MOST_COMPONENTS = 32
"""Principal components that a few-shot encoder reads."""
Predict = Callable[[Tensor, Tensor, Tensor], Tensor]
"""From training features (N, P), responses (N, T Q) and new features to predictions."""


@dataclass(frozen=True, kw_only=True, eq=False)
class EncodingTable:
    """What is predicted from what.

    Parameters
    ----------
    layers
        By name, features (N, P).
    responses
        (N, T, Q), mean over repeats.
    folds
        (N,) number of the side that each trial is left out with.
    repeats
        (R, N, T, Q), where there are any, for the noise ceiling.
    """

    layers: Mapping[str, Tensor]
    responses: Tensor
    folds: NDArray[np.int64]
    repeats: NDArray[Any] | None = None

    def __post_init__(self) -> None:
        n = len(self.responses)
        wrong = [f"{name} {tuple(x.shape)}" for name, x in self.layers.items()
                 if x.ndim != 2 or len(x) != n]  # fmt: skip
        if wrong or not self.layers or self.responses.ndim != 3:
            raise ValueError(
                f"features must be tables with a row for each of {n} responses (N, T, Q), got "
                f"{', '.join(wrong) or 'no layer'} and {tuple(self.responses.shape)}"
            )
        if self.folds.shape != (n,) or len(np.unique(self.folds)) < 2:
            raise ValueError(
                f"folds must number {n} trials and be two or more, got {self.folds.shape} with "
                f"{len(np.unique(self.folds))}"
            )


def read_table(
    features: Path, responses: Path, *, folds: Path | None, n_folds: int, repeated: bool
) -> EncodingTable:
    """Read arrays: features .npz (an array per layer) or .npy, responses and folds .npy.

    Raises
    ------
    FileNotFoundError, ValueError
        A file is missing or no array of numbers; shapes do not fit.
    """
    found = _load(features)
    layers = found if isinstance(found, dict) else {features.stem: found}
    values = _load(responses)
    given = None if folds is None else _load(folds)
    if isinstance(values, dict) or isinstance(given, dict):
        raise ValueError("responses and folds must be .npy files, one array each")
    if values.ndim not in ((3, 4) if repeated else (2, 3)):
        wanted = "(R, N, Q) or (R, N, T, Q)" if repeated else "(N, Q) or (N, T, Q)"
        raise ValueError(f"{responses}: responses must be {wanted}, got {values.shape}")
    whole = values.reshape(*values.shape[: 1 + repeated], -1, values.shape[-1])
    mean = whole.mean(0) if repeated else whole
    of_trial = np.arange(len(mean)) * n_folds // len(mean) if given is None else given
    return EncodingTable(
        layers={name: torch.from_numpy(x.astype(np.float32)) for name, x in layers.items()},
        responses=torch.from_numpy(mean.astype(np.float32)),
        folds=np.unique(of_trial, return_inverse=True)[1].reshape(np.shape(of_trial)),
        repeats=whole if repeated else None,
    )


def _load(path: Path) -> Any:
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}")
    try:
        found = np.load(path, allow_pickle=False)
        arrays = {k: found[k] for k in found.files} if hasattr(found, "files") else found
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"{path}: cannot be read as .npy or .npz: {error}") from error
    for array in arrays.values() if isinstance(arrays, dict) else [arrays]:
        if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
            raise ValueError(f"{path}: must hold finite numbers")
    return arrays


def judge(
    table: EncodingTable, x: Tensor, predict: Predict, *, shuffle: int | None = None
) -> Accuracy:
    """Return accuracy over folds (mean): r and R2 (T, Q), two-versus-two of all together.

    ``shuffle``: seed of an order in which training responses are shuffled, for the null.
    """
    flat, found = table.responses.reshape(len(x), -1), []
    for fold in np.unique(table.folds):
        out = torch.from_numpy(table.folds == fold)
        y = flat[~out]
        if shuffle is not None:
            y = y[torch.randperm(len(y), generator=torch.Generator().manual_seed(shuffle))]
        predicted = predict(x[~out], y, x[out]).double().numpy()
        center = y.double().mean(0).numpy()
        found.append(accuracy(predicted, flat[out].double().numpy(), center=center))
    # A constant prediction has no correlation and counts as none.
    shape = table.responses.shape[1:]
    r, r2 = (np.mean([np.nan_to_num(getattr(f, k)) for f in found], 0) for k in ("r", "r2"))
    both = float(np.mean([f.two_v_two for f in found]))
    return Accuracy(r.reshape(shape), r2.reshape(shape), both)


def ridge_predictions(x: Tensor, y: Tensor, new: Tensor) -> Tensor:
    """Return predictions of ridge, a penalty for every target."""
    return fit_ridge(x, y).predict(new)


def banded_predictions(bands: Tensor, seed: int) -> Predict:
    """Return predictions of ridge with a penalty for every band (P,) and target."""

    def predict(x: Tensor, y: Tensor, new: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return fit_banded_ridge(x, y, bands, generator=generator).ridge.predict(new)

    return predict


def few_shot(
    table: EncodingTable, x: Tensor, *, shots: int, steps: int, seed: int
) -> tuple[dict[str, float], InContextEncoder]:
    """Return mean r from ``shots`` pairs, of the network, of ridge, and with pairs shuffled.

    The network learns from every second target, in all trials but those of the last fold; the other
    targets are predicted in the last fold, from pairs of the others that are drawn by ``seed``. It
    reads principal components of the trials that are learned from. Responses are standardised over
    these trials, which needs no stimuli, for ridge too.

    Raises
    ------
    ValueError
        Fewer than two targets, or than three pairs and as many other trials.
    """
    out = torch.from_numpy(table.folds == table.folds.max())
    y = table.responses.reshape(len(x), -1)
    n_known, n_targets = int((~out).sum()), y.shape[1]
    if n_targets < 2 or not 3 <= shots <= n_known // 2:
        raise ValueError(
            f"few_shot needs two or more targets and from 3 to {n_known // 2} shots (half of the "
            f"trials outside the last fold), got {n_targets} and {shots}"
        )
    center, size = y[~out].mean(0), y[~out].std(0).clamp_min(1e-6)
    y = (y - center) / size
    middle = x[~out].mean(0)
    _, strength, axes = torch.linalg.svd(x[~out] - middle, full_matrices=False)
    axes = axes[strength > 1e-5 * strength[0]][:MOST_COMPONENTS]
    x = (x - middle) @ axes.T
    config = InContextConfig(
        n_features=x.shape[1], steps=steps, most_shots=max(2, min(100, n_known // 2)),
        queries=n_known - max(2, min(100, n_known // 2)),
    )  # fmt: skip
    generator = torch.Generator().manual_seed(seed)
    model = train_in_context(x[~out], y[~out][:, ::2], config, generator=generator)
    pairs = (~out).nonzero()[:, 0][torch.randperm(n_known, generator=generator)[:shots]]
    order = torch.randperm(shots, generator=generator)
    seen, truth = y[pairs][:, 1::2], y[out][:, 1::2].double().numpy()
    predicted = {
        "few_shot": model.predict(x[pairs], seen, x[out]),
        "ridge": ridge_predictions(x[pairs], seen, x[out]),
        "few_shot, pairs shuffled": model.predict(x[pairs], seen[order], x[out]),
    }
    middle_of = np.zeros(truth.shape[1])
    return {
        name: float(np.nan_to_num(accuracy(p.double().numpy(), truth, center=middle_of).r).mean())
        for name, p in predicted.items()
    }, model


def ceiling_of(table: EncodingTable, seed: int) -> Ceiling | None:
    """Return the noise ceiling (T, Q) of the mean over repeats; None without repeats."""
    if table.repeats is None:
        return None
    flat = table.repeats.reshape(*table.repeats.shape[:2], -1)
    found = noise_ceiling(flat, generator=np.random.default_rng(seed))
    return Ceiling(*(each.reshape(table.responses.shape[1:]) for each in found))
