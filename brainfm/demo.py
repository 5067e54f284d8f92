"""Take bundled real recordings through every stage and look at the result.

MEG and EEG of five devices are prepared, a small tokenizer and a small masked model are trained,
codes and features are computed, tones are told from pictures beside null controls, and a report is
written. Some recordings are held out, and two devices are never trained on. Minutes on two cores;
run it again after an interruption: finished steps are kept.

Example::

    brainfm demo --out runs/demo
"""

import json
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from brainfm.catalogue import read_catalogue
from brainfm.samples import CATALOGUE, sample_paths

SIDES = {"-held-out": "validation", "-unseen": "test"}
"""Side of the split by the ending of a data set's name; without such an ending it is trained on."""

DECODED = "decoding/evaluation/evaluation.json"


@dataclass(frozen=True, kw_only=True)
class Step:
    """One command of the demo, and the file whose presence shows that it is finished."""

    command: Sequence[str]
    result: Path


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "--out", type=Path, default=Path("runs/demo"), help="Folder for everything it makes."
    )
    parser.add_argument(
        "--tokenizer-steps", type=int, help="Training steps of stage 1; default: the preset's."
    )
    parser.add_argument(
        "--pretrain-steps", type=int, help="Training steps of stage 2; default: the preset's."
    )


def side_of(dataset: str) -> str:
    """Return the side of the split that a data set lies on."""
    return next((side for ending, side in SIDES.items() if dataset.endswith(ending)), "train")


def steps(out: Path, tokenizer_steps: int | None, pretrain_steps: int | None) -> list[Step]:
    """Return the commands, in order."""

    def limit(n: int | None) -> list[str]:
        return [] if n is None else [f"--trainer.max_steps={n}"]

    def path(name: str) -> str:
        return str(out / name)

    corpus, split = path("corpus"), path("corpus/split.json")
    names = [entry.name for entry in read_catalogue(CATALOGUE)]
    shares = [f"{name}:{side_of(name)}=1" for name in names]
    divide = ["corpus", "split", corpus, "--by", "recording", "--dataset-fractions", *shares]
    tokenizer = ["tokenizer", "fit", "--config", "nano", "--data.corpus", corpus]
    pretrain = ["pretrain", "fit", "--config", "nano", "--data.codes", path("codes")]
    example = str(sample_paths("unseen")[0])
    return [
        Step(
            command=["prepare", "--catalogue", str(CATALOGUE), "--out", corpus],
            result=out / ".prepared",
        ),
        Step(command=divide, result=out / "corpus/split.json"),
        Step(
            command=[*tokenizer, *limit(tokenizer_steps), "--out", path("tokenizer")],
            result=out / ".trained-tokenizer",
        ),
        Step(
            command=["export", path("tokenizer"), "--out", path("tokenizer-checkpoint")],
            result=out / "tokenizer-checkpoint/config.json",
        ),
        Step(
            command=[
                *("codes", corpus, "--tokenizer", path("tokenizer-checkpoint")),
                *("--out", path("codes")),
            ],
            result=out / "codes/codes.json",
        ),
        Step(
            command=[
                *pretrain,
                *("--data.split", split),
                *limit(pretrain_steps),
                *("--out", path("pretrain")),
            ],
            result=out / ".trained-pretrain",
        ),
        Step(
            command=["export", path("pretrain"), "--out", path("checkpoint")],
            result=out / "checkpoint/config.json",
        ),
        Step(
            command=["encode", path("checkpoint"), example, "--out", path("features.h5")],
            result=out / "features.h5",
        ),
        Step(
            command=[
                *("finetune", "fit", "--config", "demo"),
                *("--data.source.init_args.root", str(sample_paths()[0].parent)),
                *("--model.backbone.init_args.checkpoint", path("checkpoint")),
                *("--out", path("decoding")),
            ],
            result=out / ".trained-decoding",
        ),
        Step(
            command=[
                *("evaluate", path("decoding")),
                *("--controls", "noise", "shuffled", "metadata"),
                *("--baselines", "band_power"),
            ],
            result=out / DECODED,
        ),
        Step(command=["report", str(out)], result=out / "report.html"),
    ]


def run(args: Namespace) -> int:
    """Run what is not finished and print the table of numbers."""
    from brainfm.cli import run_command

    return run_demo(
        args.out, steps(args.out, args.tokenizer_steps, args.pretrain_steps), run_command
    )


def run_demo(out: Path, todo: Sequence[Step], command: Callable[[str, list[str]], int]) -> int:
    """Run the steps through ``command(name, argv)``; stop at the first that fails."""
    from brainfm.atomic import write_text_atomic
    from brainfm.report import print_summary

    out.mkdir(parents=True, exist_ok=True)
    settings = out / "demo.json"
    lines = [shlex.join(["brainfm", *step.command]) for step in todo]
    if settings.exists() and json.loads(settings.read_text()) != lines:
        raise ValueError(
            f"{out} holds a demo with other settings; choose another --out, or delete it"
        )
    write_text_atomic(settings, json.dumps(lines, indent=1))
    began = time.monotonic()
    for number, (step, line) in enumerate(zip(todo, lines, strict=True), start=1):
        head = f"\n[{number}/{len(todo)}]"
        if step.result.exists():
            print(f"{head} done before: {line}", flush=True)
            continue
        print(f"{head} {line}", flush=True)
        status = command(step.command[0], list(step.command[1:]))
        if status:
            return status
        if not step.result.exists():
            write_text_atomic(step.result, "")
    print(f"\nfinished in {time.monotonic() - began:.0f} s")
    print_summary(out / "report.json")
    decoded = json.loads((out / DECODED).read_text(encoding="utf-8"))
    print(f"\ntones against checkerboards, one person: {decoded['verdict']}")
    print(f"\nreport    {out / 'report.html'}")
    print(f"decoding  {(out / DECODED).with_name('report.html')}")
    print(f"features  {out / 'features.h5'}")
    print(f"model     {out / 'checkpoint'}   brainfm.from_pretrained({str(out / 'checkpoint')!r})")
    return 0
