"""Encoding models from few trials: a network that has seen other voxels, against ridge.

Synthetic: families of voxels (brainfm.synthetic_voxels), each with its own kinds of tuning. The
network learns from 400 voxels of a family and predicts 60 others to 400 new stimuli from n pairs.
Ridge gets the same pairs and, for every n, the one penalty that is best for the training voxels
(generalised cross-validation of each voxel is worse with few pairs). "prior": the same network
without attention, a Gaussian prior learned from the training voxels. Nulls: voxels that are noise,
and voxels that have nothing to do with the family. Intervals (95 %, bootstrap) are over families.

Real (with DATA, which holds fmri_haxby): responses of voxels to eight categories (benchmarks/fmri),
features are the categories. The network learns from every second voxel in runs 1 to 4; the others
are predicted in runs 6 to 8 from one block of each category in run 5, or from 3, 4 or 6 of those
blocks. Null: the categories of the pairs shuffled. One person: intervals are over draws of pairs
and tell nothing of other people.

    python benchmarks/few_shot_encoding.py
    python benchmarks/few_shot_encoding.py --data DATA --families 2
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from brainfm.bootstrap import MIN_UNITS, mean_interval
from brainfm.encoding_models import column_correlations
from brainfm.in_context_encoding import InContextConfig, InContextEncoder, train_in_context
from brainfm.ridge import PENALTIES, RidgeConfig, fit_ridge
from brainfm.synthetic_voxels import VoxelFamily

SHOTS = (3, 5, 10, 20, 50, 100, 200, 400)
N_NEW = 400


def mean_r(predicted: Tensor, truth: Tensor) -> float:
    """Return the mean over voxels of r; a voxel without variation in its prediction has 0."""
    r = column_correlations(predicted.double().numpy(), truth.double().numpy())
    return float(np.nan_to_num(r).mean())


def ridge(x: Tensor, y: Tensor, new: Tensor, penalty: float) -> Tensor:
    """Return ridge predictions."""
    return fit_ridge(x, y, RidgeConfig(penalties=(penalty,))).predict(new)


def best_penalty(x: Tensor, y: Tensor, n: int) -> float:
    """Return the penalty that is best for training voxels with n of their trials."""
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(n))
    some, rest = order[:n], order[n:]
    found = [mean_r(ridge(x[some], y[some], x[rest], p), y[rest]) for p in PENALTIES]
    return PENALTIES[int(np.argmax(found))]


def family(seed: int, steps: int) -> dict[str, dict[int, float]]:
    """Return r by method and number of pairs, for one family."""
    own = VoxelFamily(seed=seed)
    g = torch.Generator().manual_seed(1000 + seed)

    def drawn(n: int, voxels: int, which: VoxelFamily = own) -> tuple[Tensor, Tensor]:
        x = own.stimuli(n, generator=g)
        return x, which.responses(x, which.weights(voxels, generator=g), generator=g)

    x, y = drawn(600, 400)
    models: dict[str, InContextEncoder] = {}
    for name, depth in (("in context", 2), ("prior", 0)):
        config = InContextConfig(n_features=own.n_features, depth=depth, steps=steps)
        models[name] = train_in_context(x, y, config, generator=torch.Generator().manual_seed(seed))
    tests = {
        "": drawn(SHOTS[-1] + N_NEW, 60),
        ", noise": drawn(SHOTS[-1] + N_NEW, 60, VoxelFamily(noise=float("inf"))),
        ", unrelated": drawn(SHOTS[-1] + N_NEW, 60, VoxelFamily(likeness=0.0)),
    }
    found: dict[str, dict[int, float]] = {}
    for n in SHOTS:
        penalty = best_penalty(x, y, n)
        for label, (a, b) in tests.items():
            new, truth = a[SHOTS[-1] :], b[SHOTS[-1] :]
            predicted = {name: m.predict(a[:n], b[:n], new) for name, m in models.items()}
            predicted["ridge"] = ridge(a[:n], b[:n], new, penalty)
            for name, values in predicted.items():
                found.setdefault(name + label, {})[n] = mean_r(values, truth)
    return found


def haxby(data: Path, steps: int, draws: int) -> dict[str, dict[int, list[float]]]:
    """Return r of real voxels by method and number of pairs, one per draw of pairs."""
    from fmri import haxby as responses

    voxels, category, run = responses(data / "fmri_haxby")
    y = torch.from_numpy(voxels).float()
    x = torch.eye(8)[torch.from_numpy(category)]
    learn, other = np.arange(y.shape[1]) % 2 == 0, np.arange(y.shape[1]) % 2 == 1
    mean, size = (getattr(y[run < 4], of)(0) for of in ("mean", "std"))
    y = (y - mean) / size
    first = torch.from_numpy(np.flatnonzero(run < 4))
    config = {"n_features": 8, "steps": steps, "least_shots": 2, "most_shots": 12, "queries": 20}
    models = {
        name: train_in_context(
            x[first], y[first][:, learn], InContextConfig(depth=depth, **config),
            generator=torch.Generator().manual_seed(0),
        )
        for name, depth in (("in context", 2), ("prior", 0))
    }  # fmt: skip
    pairs, new = np.flatnonzero(run == 4), torch.from_numpy(np.flatnonzero(run > 4))
    truth, rng = y[new][:, other], np.random.default_rng(0)
    found: dict[str, dict[int, list[float]]] = {}
    for n in (3, 4, 6, 8):
        penalty = best_penalty(x[first], y[first][:, learn], n)
        for _ in range(draws):
            some = torch.from_numpy(rng.permutation(pairs)[:n])
            for label, told in (("", some), (", shuffled", some[rng.permutation(n)])):
                seen = y[told][:, other]
                predicted = {name: m.predict(x[some], seen, x[new]) for name, m in models.items()}
                predicted["ridge"] = ridge(x[some], seen, x[new], penalty)
                for name, values in predicted.items():
                    found.setdefault(name + label, {}).setdefault(n, []).append(
                        mean_r(values, truth)
                    )
    return found


def table(found: dict[str, dict[int, list[float]]]) -> str:
    """Return Markdown: a row per method, a column per number of pairs."""
    shots = sorted({n for row in found.values() for n in row})
    lines = [f"| | {' | '.join(f'{n} pairs' for n in shots)} |", f"|{'---|' * (1 + len(shots))}"]
    for name, row in found.items():
        lines.append(f"| {name} | {' | '.join(cell(row.get(n, [])) for n in shots)} |")
    return "\n".join(lines)


def cell(values: list[float]) -> str:
    """Return mean and interval."""
    if not values:
        return ""
    text = f"{np.mean(values):.3f}"
    if len(values) >= MIN_UNITS:
        low, high = mean_interval(np.array(values), generator=np.random.default_rng(0))
        text += f" [{low:.3f}, {high:.3f}]"
    return text


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--families", type=int, default=5)
    parser.add_argument("--steps", type=int, default=500, help="of training")
    parser.add_argument("--draws", type=int, default=20, help="of pairs, real data")
    parser.add_argument("--data", type=Path)
    args = parser.parse_args()
    every: dict[str, dict[int, list[float]]] = {}
    for seed in range(args.families):
        for name, row in family(seed, args.steps).items():
            for n, value in row.items():
                every.setdefault(name, {}).setdefault(n, []).append(value)
    print(f"synthetic: mean r of new voxels with new responses, {args.families} families (the most")
    print("that noise allows: 0.707)")
    print(table(every), flush=True)
    if args.data is None:
        print("no --data: real voxels are not predicted")
        return
    print("real: mean r of other voxels with runs 6 to 8, Haxby subject 1")
    print(table(haxby(args.data, args.steps, args.draws)))


if __name__ == "__main__":
    main()
