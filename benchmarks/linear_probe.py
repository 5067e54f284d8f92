"""What features of a checkpoint are good for: logistic regression on people and runs left out.

Compares the features of a checkpoint with those of the same network with random weights (its
masked model alone, or all of it), with its codes alone and with power in bands. Layer, pooling and
penalty of each are chosen on the training side of a task (a group left out in turn), the test side
is looked at once. Tasks:

- SSVEP, four classes: labels of subjects 1 to 3, tested on subjects 4 to 6;
- rest or movement, executed and imagined (eegmmidb): labels of runs 3 to 6, tested on runs 7 to 10;
- fists or feet: labels of runs 5 and 6, tested on runs 9 and 10;
- eyes open or closed (runs 1 and 2): four stretches of time, each left out in turn.

Intervals are 95 % bootstrap intervals over the trials of each class within each tested person, run
or stretch: they tell how sure a score is for these people, nothing of other people.

    python benchmarks/linear_probe.py nano --data ../shared/data --out runs/probe
    python benchmarks/linear_probe.py DIR --data ../shared/data --random-tokenizers DIR DIR --out O
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange
from feature_probe import band_power, eyes_trials, motor_trials, read_raw, ssvep_trials
from probe_scores import Matrix, Scores, Spaces, Task, choose, right_answers, text_of

POOLINGS = ("moments", "power", "source_covariance", "feature_covariance")
SAME = "same choice"


def tasks_of(data: Path, poolings: tuple[str, ...] = POOLINGS) -> list[Task]:
    """Return the tasks; folds are (groups with labels, groups tested)."""
    ssvep = {"unit": "mV", "position_unit": "mm", "line_freq": 50}
    motor = {"line_freq": 60}
    people = [f"subject{number:02}" for number in range(1, 7)]
    eyes = eyes_trials(data)
    stretches = sorted({trial[4] for trial in eyes})
    others = [([s for s in stretches if s != left], [left]) for left in stretches]
    early, late = ["R03", "R04", "R05", "R06"], ["R07", "R08", "R09", "R10"]
    moved = motor_trials(data, {"T0": "rest", "T1": "movement", "T2": "movement"}, early + late)
    limbs = motor_trials(data, {"T1": "fists", "T2": "feet"}, [*early[2:], *late[2:]])
    feet = [(early[2:], late[2:])]
    tasks = [
        Task(
            name="SSVEP, 4 classes",
            trials=ssvep_trials(data),
            folds=[(people[:3], people[3:])],
            options=ssvep,
        ),
        Task(name="rest or movement", trials=moved, folds=[(early, late)], options=motor),
        Task(name="fists or feet", trials=limbs, folds=feet, options=motor),
        Task(name="eyes open or closed", trials=eyes, folds=others, options=motor),
    ]
    return [replace(task, poolings=poolings) for task in tasks]


# --- features ---


def frame_features(encoder: Any, codes: Matrix, layers: list[Any]) -> dict[Any, Matrix]:
    """Return the features (P, N, D) of the codes (P, N, Q) of a recording in every layer."""
    from brainfm.code_times import context_frames

    masked, record = encoder.check_features(), encoder.model.record
    context = context_frames(record.training, record.tokenizer.frames_per_window)
    whole = len(codes) // context * context
    # All stretches of one length at once; what is left at the end is a shorter one.
    inputs = torch.from_numpy(codes.astype(np.int64))
    parts = [
        rearrange(inputs[:whole], "(b p) n q -> b n p q", p=context),
        rearrange(inputs[whole:], "p n q -> 1 n p q"),
    ]
    with torch.inference_mode():
        found = {
            layer: [masked.features(part, layer) for part in parts if part.numel()]
            for layer in layers
        }
    rows = {layer: [rearrange(x, "b n p d -> (b p) n d") for x in found[layer]] for layer in layers}
    return {layer: torch.cat(parts).numpy() for layer, parts in rows.items()}


def spaces_of(encoder: Any, task: Task, layers: list[Any], prepared: dict[Path, Any]) -> Spaces:
    """Return the features of all trials in every layer and pooling of the task."""
    from brainfm.code_times import frame_times
    from brainfm.frame_pooling import pool_frames

    cfg = encoder.model.tokenizer.cfg
    rows: dict[str, list[Matrix]] = {}
    computed: dict[Path, tuple[dict[Any, Matrix], Matrix]] = {}
    for path, begin, end, _, _ in task.trials:
        if path not in computed:
            codes = np.concatenate(list(encoder.code_blocks(prepared[path])))
            found = frame_features(encoder, codes, layers)
            computed[path] = found, frame_times(0, len(codes), cfg)
        values, times = computed[path]
        inside = (times >= begin) & (times < end)
        for layer, pooling in product(layers, task.poolings):
            vector = pool_frames(values[layer][inside], pooling)
            rows.setdefault(f"layer {layer}, {pooling}", []).append(vector)
    return {name: np.stack(vectors) for name, vectors in rows.items()}


def random_encoder(tokenizer: Path, like: Any, seed: int) -> Any:
    """Return a tokenizer under a masked model with new weights, of the same shape as another's."""
    from brainfm.checkpoints import BrainModel, load_checkpoint
    from brainfm.encoder import Encoder

    base = load_checkpoint(tokenizer)
    torch.manual_seed(seed)
    same = {"masked_model": like.masked_model, "training": like.training}
    model = BrainModel(replace(base.record, **same))
    model.tokenizer.load_state_dict(base.tokenizer.state_dict())
    model.share_codes()
    return Encoder(model.requires_grad_(False))


# --- all of it ---


def probe_task(
    task: Task, checkpoint: Path, random_tokenizers: list[Path], seeds: int
) -> dict[str, Any]:
    """Return the scores of every kind of features, and the differences from the checkpoint's."""
    from brainfm.channels import ReadOptions
    from brainfm.checkpoints import load_checkpoint
    from brainfm.encoder import Encoder
    from brainfm.given_recordings import recordings_of

    encoder = Encoder(load_checkpoint(checkpoint))
    masked = encoder.check_features()
    layers = [*range(1, len(masked.blocks) + 1), "mixture"]
    raws = {path: read_raw(path) for path in dict.fromkeys(trial[0] for trial in task.trials)}
    options = ReadOptions(**task.options)
    prepared = {p: encoder.process(recordings_of(raw, options)[0][0]) for p, raw in raws.items()}
    power = np.stack([band_power(raws[t[0]], t[1], t[2]) for t in task.trials])
    like = encoder.model.record

    def random_spaces(tokenizer: Path, seed: int) -> Spaces:
        return spaces_of(random_encoder(tokenizer, like, seed), task, layers, prepared)

    kinds: dict[str, list[Callable[[], Spaces]]] = {
        "pretrained": [lambda: spaces_of(encoder, task, layers, prepared)],
        "masked model random": [partial(random_spaces, checkpoint, seed) for seed in range(seeds)],
        "all weights random": [
            partial(random_spaces, path, seed) for seed, path in enumerate(random_tokenizers)
        ],
        "codes alone": [lambda: spaces_of(encoder, task, [0], prepared)],
        "power in bands": [lambda: {"all": power}],
    }
    return compare(task, kinds)


def compare(task: Task, kinds: dict[str, list[Callable[[], Spaces]]]) -> dict[str, Any]:
    """Return the scores of all kinds, several networks of one kind averaged.

    Random networks are also scored with what was chosen for the pretrained one, so that a
    difference can be told from luck in choosing.
    """
    scores = Scores(task)
    for kind, makers in kinds.items():
        answers: dict[str, list[Matrix]] = {}
        chosen = []
        for make in makers:
            spaces = make()
            chosen.append(choose(spaces, task))
            answers.setdefault(kind, []).append(right_answers(spaces, task, chosen[-1]))
            if kind.endswith("random"):
                same = right_answers(spaces, task, scores.choices["pretrained"][0])
                answers.setdefault(f"{kind}, {SAME}", []).append(same)
        for name, rights in answers.items():
            scores.add(name, np.mean(rights, axis=0), [] if name.endswith(SAME) else chosen)
    return scores.results


def verdict(results: dict[str, Any]) -> str:
    """Return in one line whether pretraining helps, by the intervals of the differences."""
    said = []
    for kind, what in (
        ("all weights random", "the whole network with random weights"),
        ("masked model random", "the trained tokenizer under a masked model with random weights"),
    ):
        gaps = {n: r["differences"][kind] for n, r in results.items() if kind in r["differences"]}
        if not gaps:
            continue
        better = [name for name, gap in gaps.items() if gap["low"] > 0]
        worse = [name for name, gap in gaps.items() if gap["high"] < 0]
        words = f"better on {', '.join(better)}" if better else "better on no task"
        words += f", worse on {', '.join(worse)}" if worse else ""
        others = [name for name in gaps if name not in better + worse]
        words += f", no difference shown on {', '.join(others)}" if others else ""
        said.append(f"against {what}: {words}")
    if not said:
        return "Does pretraining help features? Not compared with random weights."
    return f"Does pretraining help features? Measured {'; '.join(said)}."


def section(results: dict[str, Any]) -> str:
    """Return the results as a section of a model card."""
    lines = [
        "## Linear probes",
        "",
        f"**{verdict(results)}**",
        "",
        "Balanced accuracy of a logistic regression on features of trials. Layer, pooling and",
        "penalty of each kind of features are chosen on the training side; 'same choice' takes",
        "those of the pretrained model instead. Random networks are a mean of several. 95 %",
        "intervals over trials within tested people and runs: they tell nothing of other people.",
        "",
        "| task (trials tested, chance) | features | balanced accuracy | less by |",
        "|---|---|---|---|",
    ]
    for name, found in results.items():
        for kind, score in found["kinds"].items():
            gap = found["differences"].get(kind)
            first = f"{name} ({found['n_tested']}, {found['chance']:.2f})"
            less = text_of(gap, sign=True) if gap else "-"
            lines.append(f"| {first} | {kind} | {text_of(score)} | {less} |")
    return "\n".join(lines) + "\n"


def run_probes(
    checkpoint: Path, tasks: list[Task], out: Path, random_tokenizers: list[Path], seeds: int
) -> str:
    """Return the results as Markdown; ``probes.json`` in ``out`` keeps those of finished tasks."""
    out.mkdir(parents=True, exist_ok=True)
    file = out / "probes.json"
    results = json.loads(file.read_text()) if file.exists() else {}
    for task in tasks:
        if task.name not in results:
            results[task.name] = probe_task(task, checkpoint, random_tokenizers, seeds)
            file.write_text(json.dumps(results, indent=1))
    return section(results)


def main() -> None:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("checkpoint", help="folder or name (nano)")
    parser.add_argument("--data", type=Path, required=True, help="folder of the recordings")
    parser.add_argument("--out", type=Path, default=Path("runs/linear_probe"))
    parser.add_argument("--random-tokenizers", type=Path, nargs="*", default=[], metavar="DIR")
    parser.add_argument("--seeds", type=int, default=3, help="of random masked models")
    parser.add_argument("--poolings", nargs="+", choices=POOLINGS, default=POOLINGS)
    parser.add_argument("--tasks", nargs="+", default=[""], help="begin of their names")
    args = parser.parse_args()
    from brainfm.hub import find_checkpoint

    where = find_checkpoint(args.checkpoint)
    tasks = tasks_of(args.data, tuple(args.poolings))
    chosen = [task for task in tasks if task.name.startswith(tuple(args.tasks))]
    print(run_probes(where, chosen, args.out, args.random_tokenizers, args.seeds))


if __name__ == "__main__":
    main()
