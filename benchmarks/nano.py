"""Make the bundled model ``nano``: every step from recordings to checkpoint and its card.

Runs nothing but commands of brainfm, and two measurements whose tables go into the model card:
hidden codes of held-out recordings, and linear probes. What is finished is kept, so the same line
continues after a break. 22 minutes of one core.

    python benchmarks/nano.py --data ../shared/data
    cp runs/nano/nano/* brainfm/nano/

Sides are those of ``nano_data.py``. Weights are the best on the side 'validation'; the side 'test'
has no say in anything. ``--steps``, ``--tokenizer-steps`` (more than 100), ``--random 1`` and
``--tasks eyes`` make it short, for a trial.
"""

import argparse
import json
import shlex
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from linear_probe import run_probes, tasks_of
from nano_data import dataset_fractions, sources_section, write_catalogue
from pretrain_quality import hidden_codes
from probe_scores import text_of
from quality_corpus import command

RANDOM_STEPS = 140
"""Enough for codebooks to be set on the latents of weights that do not move."""

PLAIN_POOLINGS = ("moments", "power")


@dataclass(frozen=True, kw_only=True)
class Step:
    """A command, and the file that is there when it is done."""

    makes: Path
    words: list[str]


def training(stage: str, run: Path, *words: str) -> list[str]:
    """Return the command of a training stage, going on where it was cut off."""
    last = run / "checkpoints" / "last.ckpt"
    resume = ["--ckpt_path", str(last)] if last.exists() else []
    return [stage, "fit", "--config", "nano", *words, "--out", str(run), *resume]


def tokenizer_steps(out: Path, n_steps: int) -> list[Step]:
    """Return the steps from recordings to codes, and their fidelity card."""
    corpus, tokenizer, run = out / "corpus", out / "tokenizer", out / "run_tokenizer"
    divide = ["--by", "recording", "--dataset-fractions", *dataset_fractions()]
    fit = training(
        "tokenizer",
        run,
        *("--data.corpus", str(corpus), "--data.temperature", "1.5"),
        *("--trainer.max_steps", str(n_steps)),
        *("--trainer.val_check_interval", str(max(1, n_steps // 10))),
    )
    prepare = ["prepare", "--catalogue", str(out / "catalogue.yaml"), "--out", str(corpus)]
    best = ["export", str(run), "--out", str(tokenizer), "--which", "best"]
    codes = ["codes", str(corpus), "--tokenizer", str(tokenizer), "--out", str(out / "codes")]
    card = ["tokenizer", "card", str(tokenizer), str(corpus), "--out", str(out / "card")]
    return [
        Step(makes=corpus / "corpus.json", words=prepare),
        Step(makes=corpus / "split.json", words=["corpus", "split", str(corpus), *divide]),
        Step(makes=tokenizer / "config.json", words=fit),
        Step(makes=tokenizer / "config.json", words=best),
        Step(makes=out / "codes" / "codes.json", words=codes),
        Step(makes=out / "card" / "card.json", words=card),
    ]


def masked_steps(out: Path, n_steps: int) -> list[Step]:
    """Return the steps from codes to a checkpoint without results on its card."""
    run, bare = out / "run_pretrain", out / "bare"
    fit = training(
        "pretrain",
        run,
        *("--data.codes", str(out / "codes")),
        *("--data.split", str(out / "corpus" / "split.json")),
        *("--trainer.max_steps", str(n_steps)),
        *("--trainer.val_check_interval", str(max(1, n_steps // 20))),
    )
    best = ["export", str(run), "--out", str(bare), "--which", "best"]
    return [
        Step(makes=bare / "config.json", words=fit),
        Step(makes=bare / "config.json", words=best),
    ]


def random_steps(out: Path, seed: int) -> list[Step]:
    """Return the steps to a tokenizer with random weights, its codebooks set on its latents."""
    run, made = out / f"run_random_{seed}", out / f"random_{seed}"
    still = ("--model.optimizer.lr", "1e-30", "--seed_everything", str(seed))
    where = ("--data.corpus", str(out / "corpus"))
    n = str(RANDOM_STEPS)
    steps = ("--trainer.max_steps", n, "--trainer.val_check_interval", n)
    return [
        Step(
            makes=made / "config.json",
            words=training("tokenizer", run, *where, *steps, *still),
        ),
        Step(makes=made / "config.json", words=["export", str(run), "--out", str(made)]),
    ]


def run_steps(steps: list[Step]) -> None:
    """Run the commands whose files are not there."""
    for missing in [step for step in steps if not step.makes.exists()]:
        command(*missing.words)


def hidden_section(out: Path) -> str:
    """Measure the loss on hidden codes of held-out recordings; return a section of the card."""
    from brainfm.bootstrap import mean_interval

    file = out / "hidden_codes.json"
    if not file.exists():
        split = out / "corpus" / "split.json"
        found = hidden_codes(out / "bare", out / "codes", split, "blocks")
        file.write_text(json.dumps(found))
    scores = json.loads(file.read_text())

    def cell(name: str) -> str:
        values = np.array(scores[name])
        low, high = mean_interval(values, generator=np.random.default_rng(0))
        return f"{values.mean():.3f} [{low:.3f}, {high:.3f}]"

    lines = [
        "## Hidden codes",
        "",
        f"Cross-entropy, nats, of hidden blocks of codes of {len(scores['loss_0'])} held-out",
        "recordings (side 'test'; 95 % intervals over recordings), beside two guesses for the same",
        "codes: how often each occurs, and the nearest one that is not hidden.",
        "",
        "| level | model | unigram | copy |",
        "|---|---|---|---|",
    ]
    for level in range(sum(name.startswith("copy_loss_") for name in scores)):
        cells = [cell(f"{guess}loss_{level}") for guess in ("", "unigram_", "copy_")]
        lines.append(f"| {level + 1} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def probes_section(out: Path, data: Path, names: tuple[str, ...], n_random: int) -> str:
    """Probe the checkpoint, with all poolings and without covariances; return a section."""
    random = [out / f"random_{seed}" for seed in range(1, n_random + 1)]
    tasks = [task for task in tasks_of(data) if task.name.startswith(names)]
    text = run_probes(out / "bare", tasks, out, random, n_random)
    first = [task for task in tasks_of(data, PLAIN_POOLINGS) if task.name == tasks[0].name]
    run_probes(out / "bare", first, out / "plain", random, n_random)
    found = json.loads((out / "plain" / "probes.json").read_text())[first[0].name]
    shown = {kind: text_of(score) for kind, score in found["kinds"].items()}
    gap = text_of(found["differences"]["masked model random"], sign=True)
    return f"""{text}
**It depends on the pooling.** With mean, standard deviation and power over frames alone,
{first[0].name} is {shown["pretrained"]} for the pretrained model, {shown["masked model random"]}
for random masked models (less by {gap}) and {shown["all weights random"]} for random networks.
Covariances of sources and features were added after this was seen, by scores on the training side;
they are `pooling="source_covariance"` and `"feature_covariance"` of `brainfm.BrainFeatures`.
"""


def commands_section(steps: list[Step]) -> str:
    """Return the commands that made the checkpoint as a section of its card."""
    lines = ["## How it was made", "", "`python benchmarks/nano.py --data DATA`, which runs:", ""]
    for step in steps:
        words = step.words[: step.words.index("--ckpt_path")] if resumed(step) else step.words
        lines.append(f"    brainfm {shlex.join(words)}")
    return "\n".join(lines) + "\n"


def resumed(step: Step) -> bool:
    return "--ckpt_path" in step.words


def main() -> None:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--data", type=Path, required=True, help="folder of the recordings")
    parser.add_argument("--out", type=Path, default=Path("runs/nano"))
    parser.add_argument("--tokenizer-steps", type=int, default=4000)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--random", type=int, default=3, help="random tokenizers beside it")
    parser.add_argument("--tasks", nargs="+", default=[""], help="begin of names of probes")
    args = parser.parse_args()
    out = args.out
    out.mkdir(parents=True, exist_ok=True)
    write_catalogue(args.data, out)
    steps = tokenizer_steps(out, args.tokenizer_steps)
    run_steps(steps)
    later = masked_steps(out, args.steps)
    run_steps(later)
    for seed in range(1, args.random + 1):
        run_steps(random_steps(out, seed))
    names = ("hidden", "probes", "sources", "commands")
    files = [str(out / f"{name}.md") for name in names]
    results = ("--fidelity", str(out / "card"), "--section", *files)
    final = ["export", str(out / "run_pretrain"), "--out", str(out / "nano"), "--which", "best"]
    later.append(Step(makes=out / "nano" / "config.json", words=[*final, *results]))
    sections = {
        "hidden": hidden_section(out),
        "probes": probes_section(out, args.data, tuple(args.tasks), args.random),
        "sources": sources_section(),
        "commands": commands_section(steps + later),
    }
    for name in names:
        (out / f"{name}.md").write_text(sections[name])
    command(*later[-1].words)
    size = sum(path.stat().st_size for path in (out / "nano").iterdir())
    print(f"{size / 1e6:.1f} MB in {out / 'nano'}")


if __name__ == "__main__":
    main()
