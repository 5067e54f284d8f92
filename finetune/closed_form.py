"""Adaptation ``ridge``: the readout of a head on features that do not change, without steps.

Shapes: B trials, P frames, N sources, D width, F pooled features, O outputs.
"""

import torch
from torch import Tensor, nn

from .data import DecodingData
from .head import Head
from .module import DecodingModule
from .ridge import RidgeFit, mean_correlation
from .trial_batch import TrialBatch

SHARPNESS = tuple(10 ** (k / 8) for k in range(-8, 25))
"""Factors of the outputs to choose from, so that a softmax of them gives probabilities."""


@torch.no_grad()
def fit_readout(module: DecodingModule, data: DecodingData) -> float:
    """Set the readout of a prepared module and return the penalty that was chosen.

    The one whose outputs correlate best with the truth of the validation side. Every rank comes to
    the same weights by itself.

    Raises
    ------
    ValueError
        The head has no closed form, or there are several penalties and no validation side.
    """
    head, penalties = module.head, module.adaptation.penalties
    truth = head.ridge_targets().double().cpu()
    linear = linear_readout(head)
    fit = RidgeFit()
    for batch in data.side_batches("train"):
        fit.add(pooled_features(head, batch.features), truth[batch.target])
    grid = [(k, penalty) for k in module.adaptation.inputs for penalty in penalties]
    solutions = [found for k in module.adaptation.inputs for found in fit.solve(penalties, k)]
    checked = [(pooled_features(head, b.features), b) for b in data.side_batches("validation")]
    chosen = 0
    if checked:
        x = torch.cat([pooled for pooled, _ in checked]).double()
        y = torch.cat([truth[batch.target] for _, batch in checked])
        scores = [mean_correlation(x @ weight.T + bias, y) for weight, bias in solutions]
        chosen = max(range(len(scores)), key=scores.__getitem__)
    elif len(grid) > 1:
        raise ValueError(
            "ridge chooses its penalty on the validation side, which is empty; set "
            "data.split.validation, or give adaptation.penalties and inputs a single value"
        )
    weight, bias = solutions[chosen]
    linear.weight.copy_(weight)
    linear.bias.copy_(bias)
    if checked and head.kind == "classes":
        factor = sharpness(head, [(head.readout(pooled), batch) for pooled, batch in checked])
        linear.weight.mul_(factor)
        linear.bias.mul_(factor)
    return grid[chosen][1]


def pooled_features(head: Head, features: Tensor | None) -> Tensor:
    """Return what a head's readout is given of features (B, P, N, D), as (B, F).

    Raises
    ------
    ValueError
        The head reads out every frame.
    """
    assert features is not None
    pooled: Tensor = head.pool(features)
    if pooled.ndim != 2:
        raise ValueError(
            f"{type(head).__name__} reads out every frame, which has no closed form; use another "
            "adaptation than ridge"
        )
    return pooled


def linear_readout(head: Head) -> nn.Linear:
    """Return the one linear layer of a linear head."""
    layers = [layer for layer in head.readout.modules() if isinstance(layer, nn.Linear)]
    assert len(layers) == 1, "a linear head has one linear layer"
    return layers[0]


def sharpness(head: Head, outputs: list[tuple[Tensor, TrialBatch]]) -> float:
    """Return the factor of the outputs with the least loss, a few trials of no class included.

    Without those a validation side that is told apart without an error would ask for certainty.
    """
    n_trials = sum(len(output) for output, _ in outputs)

    def loss(factor: float) -> float:
        total = 0.0
        for output, batch in outputs:
            given = head.predict(factor * output, batch)
            unsure = -given.clamp_min(1e-30).log().mean()
            total += float(head.loss(factor * output, batch)) * len(output)
            total += float(unsure) * given.shape[1] * len(output) / n_trials
        return total

    return min(SHARPNESS, key=loss)
