"""What stage 2 learns from an hour of real recordings, on people and recordings it never saw.

Trains a nano tokenizer, computes codes once and trains the nano masked model twice, hiding blocks
and hiding scattered tokens. Then, on the side 'test' (ssvep subjects 5 and 6: new people; eegmmidb
runs 7-10: new recordings; eeglab, muse and the second half of the Neuromag recording):

1. loss and accuracy of every level beside the unigram and the copy of the nearest visible token,
   each model under both kinds of masks on the same windows;
2. what features are good for: four SSVEP classes, leave one subject out (chance .25, subjects 4-6
   were not in training), and eyes open against closed (one person, four stretches of time left out
   in turn, chance .5). Features of the trained models beside those of the same network with random
   weights, of codes alone, and power in bands: the same logistic regression on each.

Intervals are 95 % bootstrap intervals, over recordings (1) and over subjects or stretches (2).
Everything goes through the commands of brainfm; what is finished is kept.

    python benchmarks/pretrain_quality.py --data ../shared/data
    python benchmarks/pretrain_quality.py --data ../shared/data --tokenizer-steps 102 --steps 20
"""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from feature_probe import Trial, eyes_trials, probe, ssvep_trials
from quality_corpus import MOTOR, SSVEP, command, make_corpus

KINDS = ("blocks", "scattered")
GUESSES = ("", "unigram_", "copy_")


def interval(groups: Sequence[float], seed: int = 0) -> str:
    """Return mean and 95 % bootstrap interval over groups as text."""
    values = np.asarray(groups, float)
    rng = np.random.default_rng(seed)
    means = values[rng.integers(0, len(values), (4000, len(values)))].mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return f"{values.mean():.3f} [{low:.3f}, {high:.3f}]"


# --- 1: hidden codes ---


def train(out: Path, corpus: Path, args: argparse.Namespace) -> dict[str, Path]:
    """Train tokenizer and both masked models; return the checkpoint of each kind."""
    tokenizer, codes = out / "tokenizer", out / "codes"
    if not (tokenizer / "config.json").exists():
        run = out / "run_tokenizer"
        steps = ("--trainer.max_steps", str(args.tokenizer_steps))
        where = ("--data.corpus", str(corpus), "--out", str(run))
        command("tokenizer", "fit", "--config", "nano", *where, *steps)
        command("export", str(run), "--out", str(tokenizer))
    if not (codes / "codes.json").exists():
        command("codes", str(corpus), "--tokenizer", str(tokenizer), "--out", str(codes))
    found = {}
    for kind in KINDS:
        found[kind] = out / f"checkpoint_{kind}"
        if (found[kind] / "config.json").exists():
            continue
        run = out / f"run_{kind}"
        where = ("--data.codes", str(codes), "--data.split", str(corpus / "split.json"))
        steps = ("--trainer.max_steps", str(args.steps), "--model.masking.kind", kind)
        often = ("--trainer.val_check_interval", str(max(1, args.steps // 10)))
        command("pretrain", "fit", "--config", "nano", *where, *steps, *often, "--out", str(run))
        command("export", str(run), "--out", str(found[kind]), "--which", "best")
    return found


def hidden_codes(
    checkpoint: Path, codes_folder: Path, split: Path, kind: str
) -> dict[str, list[float]]:
    """Return loss and accuracy of every test recording, by name of the measure."""
    from brainfm.pretrain.data import CodeData

    from brainfm.checkpoints import load_checkpoint
    from brainfm.code_baselines import CodeBaselines, code_stretches, count_agreement
    from brainfm.code_loader import CodeLoader
    from brainfm.masked_task import MaskedTask
    from brainfm.masking import MaskConfig

    model = load_checkpoint(checkpoint).masked_model
    assert model is not None
    data = CodeData(str(codes_folder), str(split), context_s=10.0)
    agreement = count_agreement(code_stretches(data.codes, data.indices("train")))
    baselines = CodeBaselines(data.unigram(), agreement)
    masking = MaskConfig(kind=kind)  # type: ignore[arg-type]
    task = MaskedTask(masking, data.codes.tokenizer, data.context_frames, baselines)
    found: dict[str, list[float]] = {}
    for i in data.indices("test"):
        sums: dict[str, list[float]] = {}
        loader = CodeLoader(
            data.codes,
            [i],
            context_frames=data.context_frames,
            windows_per_batch=16,
            shuffle=False,
        )
        for batch in loader:
            with torch.inference_mode():
                scores = task.evaluate(model, task.hide(batch, 0))
            for name, value in scores.items():
                sums.setdefault(name, []).extend([float(value)] * len(batch.codes))
        for name, values in sums.items():
            found.setdefault(name, []).append(float(np.mean(values)))
    return found


def print_hidden_codes(checkpoints: dict[str, Path], out: Path, corpus: Path) -> dict[str, Any]:
    """Print one table for each kind of masks; a line for each level."""
    numbers: dict[str, Any] = {}
    for kind in KINDS:
        scores = {
            trained: hidden_codes(path, out / "codes", corpus / "split.json", kind)
            for trained, path in checkpoints.items()
        }
        print(f"\nhidden codes of test recordings, masks: {kind}; loss in nats, accuracy in %")
        heads = [f"model ({trained})" for trained in scores] + ["unigram", "copy"]
        print(f"{'':<16}" + "".join(f"{head:>26}" for head in heads))
        any_scores = scores[KINDS[0]]
        levels = sum(name.startswith("copy_loss_") for name in any_scores)
        for measure in ("loss", "accuracy"):
            for q in range(levels):
                name = f"{measure}_{q}"
                factor = 100 if measure == "accuracy" else 1
                columns = [scores[trained][name] for trained in scores]
                columns += [any_scores[f"{guess}{name}"] for guess in GUESSES[1:]]
                cells = [interval([factor * v for v in column]) for column in columns]
                print(f"{f'{measure}, level {q}':<16}" + "".join(f"{c:>26}" for c in cells))
        for trained in scores:
            gains = [
                min(
                    np.mean(scores[trained][f"{guess}loss_{q}"])
                    - np.mean(scores[trained][f"loss_{q}"])
                    for guess in GUESSES[1:]
                )
                for q in range(levels)
            ]
            text = ", ".join(f"{gain:+.3f}" for gain in gains)
            print(f"  model ({trained}) is better than the better guess by {text} nats a level")
        numbers[kind] = scores
    return numbers


# --- 2: features ---


def probe_encoders(checkpoints: dict[str, Path]) -> dict[str, tuple[Any, Any]]:
    """Return encoder and layer for every kind of features."""
    from brainfm.checkpoints import BrainModel, load_checkpoint
    from brainfm.encoder import Encoder

    found: dict[str, tuple[Any, Any]] = {}
    for kind, path in checkpoints.items():
        found[f"pretrained ({kind})"] = (Encoder(load_checkpoint(path)), -2)
    trained = load_checkpoint(checkpoints[KINDS[0]])
    torch.manual_seed(0)
    random = BrainModel(replace(trained.record))
    random.tokenizer.load_state_dict(trained.tokenizer.state_dict())
    random.share_codes()
    found["random weights"] = (Encoder(random), -2)
    found["codes alone"] = (found[f"pretrained ({KINDS[0]})"][0], 0)
    return found


def print_probes(checkpoints: dict[str, Path], data: Path) -> dict[str, Any]:
    """Print balanced accuracy for each kind of features."""
    from brainfm.channels import ReadOptions

    encoders = probe_encoders(checkpoints)
    ssvep = ReadOptions(unit=SSVEP["unit"], position_unit=SSVEP["position_unit"], line_freq=50)
    eyes = ReadOptions(line_freq=MOTOR["line_freq"])
    numbers: dict[str, Any] = {}
    tasks: dict[str, tuple[Callable[[Path], list[Trial]], Any]] = {
        "SSVEP, 4 classes, leave one subject out (chance .25)": (ssvep_trials, ssvep),
        "eyes open or closed, stretches of time left out (chance .5)": (eyes_trials, eyes),
    }
    for title, (trials_of, options) in tasks.items():
        scores = probe(trials_of(data), options, encoders)
        print(f"\n{title}: balanced accuracy")
        for name, values in scores.items():
            each = " ".join(f"{value:.2f}" for value in values)
            print(f"  {name:<24}{interval(values)}   each: {each}")
        first = scores[f"pretrained ({KINDS[0]})"]
        gain = [a - b for a, b in zip(first, scores["random weights"], strict=True)]
        print(f"  pretrained (blocks) - random weights: {interval(gain)}")
        numbers[title] = scores
    return numbers


def main() -> None:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--data", type=Path, required=True, help="folder of the recordings")
    parser.add_argument("--out", type=Path, default=Path("runs/pretrain_quality"))
    parser.add_argument("--tokenizer-steps", type=int, default=1500)
    parser.add_argument("--steps", type=int, default=600)
    args = parser.parse_args()
    corpus = make_corpus(args.data, args.out)
    checkpoints = train(args.out, corpus, args)
    hidden = print_hidden_codes(checkpoints, args.out, corpus)
    probes = print_probes(checkpoints, args.data)
    (args.out / "results.json").write_text(json.dumps({"hidden": hidden, "probes": probes}))
    print(f"\nall numbers in {args.out / 'results.json'}")


if __name__ == "__main__":
    main()
