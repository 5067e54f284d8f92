"""Predict responses from features of stimuli: ridge, banded ridge, or from a few trials.

FEATURES is an .npz file with a table (trials, features) per layer of a network, or one .npy table.
RESPONSES is an .npy array (trials, targets) or (trials, times, targets): regions, voxels, sensors.
With --repeated it has a first axis of repeats; their mean is predicted, and the noise ceiling says
how well that could be done. Trials are left out fold by fold; give --folds (a number for each
trial) so that trials of one stimulus, and those that overlap in time, are left out together. Beside
every score stands the same with training responses shuffled.

Methods: ridge (a penalty for every target, layer by layer), banded (all layers together, a penalty
for every layer and target), few_shot (a network that learns from every second target what targets
are like, and predicts the others from --shots trials; beside ridge from the same trials).

Example::

    brainfm encoding features.npz responses.npy --folds stimuli.npy --out runs/encoding
    brainfm encoding features.npz responses.npy --method few_shot --shots 10 --out runs/few
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser, Namespace

if TYPE_CHECKING:
    from brainfm.encoding_run import EncodingTable

NUMBERS, PICTURE, ENCODER = "encoding.json", "encoding.png", "few_shot.safetensors"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's options."""
    from typing import Literal

    parser.add_argument("features", type=Path, help="Features, .npz (a table per layer) or .npy.")
    parser.add_argument("responses", type=Path, help="Responses, .npy.")
    parser.add_argument("--out", type=Path, required=True, help="Folder for the results.")
    parser.add_argument(
        "--method", type=Literal["ridge", "banded", "few_shot"], default="ridge", help="See above."
    )
    parser.add_argument("--folds", type=Path, help=".npy, number of each trial's fold.")
    parser.add_argument(
        "--n-folds", type=int, default=5, help="Folds of consecutive trials, without --folds."
    )
    parser.add_argument("--repeated", action="store_true", help="Responses begin with repeats.")
    parser.add_argument("--times", type=Path, help=".npy, seconds of the times, for the picture.")
    parser.add_argument("--shots", type=int, default=10, help="Trials for few_shot.")
    parser.add_argument("--steps", type=int, default=500, help="Of training for few_shot.")
    parser.add_argument("--seed", type=int, default=0, help="Of shuffles and draws.")


def run(args: Namespace) -> int:
    """Fit, judge, and say where the results are."""
    from brainfm.atomic import write_json_atomic
    from brainfm.encoding_run import read_table

    if args.n_folds < 2:
        raise ValueError(f"--n-folds must be at least 2, got {args.n_folds}")
    table = read_table(
        args.features,
        args.responses,
        folds=args.folds,
        n_folds=args.n_folds,
        repeated=args.repeated,
    )
    args.out.mkdir(parents=True, exist_ok=True)
    numbers = _few_shot(table, args) if args.method == "few_shot" else _ridge(table, args)
    write_json_atomic(args.out / NUMBERS, {"method": args.method, **numbers})
    for name, scores in numbers["scores"].items():
        print(f"{name}: " + ", ".join(f"{what} {value:.3f}" for what, value in scores.items()))
    print(f"numbers in {args.out / NUMBERS}")
    return 0


def _ridge(table: "EncodingTable", args: Namespace) -> dict[str, Any]:
    import numpy as np
    import torch

    from brainfm.atomic import atomic_path
    from brainfm.encoding_pictures import layer_time_figure
    from brainfm.encoding_run import (
        Predict,
        banded_predictions,
        ceiling_of,
        judge,
        ridge_predictions,
    )
    from brainfm.report_style import house_style

    inputs = dict(table.layers)
    predict: Predict = ridge_predictions
    if args.method == "banded":
        bands = [torch.full((x.shape[1],), k) for k, x in enumerate(inputs.values())]
        inputs = {"all layers": torch.cat(list(inputs.values()), 1)}
        predict = banded_predictions(torch.cat(bands), args.seed)
    scores, r = {}, []
    for name, x in inputs.items():
        print(f"fitting {name}", flush=True)
        found = judge(table, x, predict)
        null = judge(table, x, predict, shuffle=args.seed)
        r.append(found.r.mean(1))
        scores[name] = {
            "r": float(found.r.mean()),
            "R2": float(found.r2.mean()),
            "two-versus-two": found.two_v_two,
            "r shuffled": float(null.r.mean()),
            "two-versus-two shuffled": null.two_v_two,
        }
    n_times = table.responses.shape[1]
    times = np.arange(n_times) if args.times is None else np.load(args.times, allow_pickle=False)
    if times.shape != (n_times,):
        raise ValueError(f"{args.times}: {times.shape} times for responses at {n_times}")
    ceiling = ceiling_of(table, args.seed)
    highest = None if ceiling is None else ceiling.r.mean(1)
    figure = layer_time_figure(
        list(inputs),
        np.stack(r),
        times,
        unit="time" if args.times is None else "time (s)",
        ceiling=highest,
    )
    with atomic_path(args.out / PICTURE) as temporary, house_style():
        figure.savefig(temporary, format="png")
    print(f"r by layer and time in {args.out / PICTURE}")
    return {
        "scores": scores,
        "layers": list(inputs),
        "times": times.tolist(),
        "r": np.stack(r).tolist(),
        "ceiling": None if highest is None else highest.tolist(),
    }


def _few_shot(table: "EncodingTable", args: Namespace) -> dict[str, Any]:
    import torch

    from brainfm.encoding_run import few_shot

    x = torch.cat(list(table.layers.values()), 1)
    found, model = few_shot(table, x, shots=args.shots, steps=args.steps, seed=args.seed)
    model.save(args.out / ENCODER)
    return {"scores": {name: {"r": value} for name, value in found.items()}, "shots": args.shots}
