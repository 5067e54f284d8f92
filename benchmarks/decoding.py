"""Decoding of real recordings: our encoder beside other decoders, in one table with intervals.

The encoder in every adaptation, its random twin, networks trained from scratch and classical
decoders, all on the same trials and folds.

Tasks: four SSVEP classes, leaving one subject out; fists or feet, moved and imagined, leaving one
run out; P300 with a Muse, leaving one run out and across sessions; tone or picture from MEG, EEG
and both, stretches of time left out; and, which nobody can decode, phonemes about to be thought of.

Everything goes through ``brainfm finetune fit`` with the bundled presets; settings were chosen on
validation sides. Classical decoders stand in ``baselines`` beside the ridge run.
Finished folds are kept, so that the command can be stopped and started again.

    python benchmarks/decoding.py --data ../shared/data
    python benchmarks/decoding.py --data ../shared/data --decoders ridge classical
"""

import argparse
import json
import os
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from brainfm.finetune.decoded_run import DecodedRun
from decoding_data import write_all

ENCODER = ("ridge", "linear", "frozen", "lora", "two_stage", "full")
NETWORKS = ("conv_net", "eegnet")
CLASSICAL = "classical"
RANDOM = "random"
DECODERS = ("ridge", RANDOM, CLASSICAL, *NETWORKS, "full", "lora", "linear", "frozen", "two_stage")
"""In the order of running."""


@dataclass(frozen=True)
class Task:
    """A column of the table: preset, folder of recordings, other settings, classical decoders.

    ``folder`` is below --data, or below what was converted. ``evoked``: the course of a trial
    matters, not its rhythms. ``runs`` are those whose test trials count, by the end of their name;
    empty: all. ``same`` is the task whose runs it is made of.
    """

    preset: str
    folder: str
    classical: tuple[str, ...]
    settings: tuple[str, ...] = ()
    converted: bool = False
    evoked: bool = False
    runs: tuple[str, ...] = ()
    same: str = ""


MOTOR = ("csp", "riemann", "band_power", "code_histogram", "quantile_tokens")
EVOKED = ("evoked", "evoked_lda", "xdawn", "riemann", "code_histogram", "quantile_tokens")
BOTH = ("evoked", "evoked_lda", "riemann", "code_histogram")
ROOT = "--data.source.init_args.root"
MODALITY = "--data.source.init_args.modality"
ONE_PENALTY = ("--model.adaptation.penalties", "[1.0]")
TASKS = {
    "SSVEP": Task("ssvep", "ssvep", ("cca", "riemann", "band_power", "code_histogram")),
    "moved": Task("motor", "eegmmidb", MOTOR, runs=("05", "09"), same="motor"),
    "imagined": Task("motor", "eegmmidb", MOTOR, runs=("06", "10"), same="motor"),
    "P300": Task("p300", "muse", EVOKED, converted=True, evoked=True),
    "P300, other session": Task(
        "p300",
        "muse",
        EVOKED,
        ("--data.split.by", "session", "--data.split.validation", "0"),
        converted=True,
        evoked=True,
    ),
    "MEG": Task("auditory_visual", "meg_eeg_neuromag", BOTH, (MODALITY, "[meg]"), evoked=True),
    "EEG": Task("auditory_visual", "meg_eeg_neuromag", BOTH, (MODALITY, "[eeg]"), evoked=True),
    "MEG and EEG": Task("auditory_visual", "meg_eeg_neuromag", BOTH, evoked=True),
    "phonemes": Task("phonemes", "feis", ("riemann", "band_power", "code_histogram"), (), True),
}

PAGES = (tuple(TASKS)[:5], tuple(TASKS)[5:])
"""Tasks that share a table."""
ROWS = (
    *(f"encoder, {name}" for name in (*ENCODER, RANDOM)),
    *NETWORKS,
    *dict.fromkeys(name for task in TASKS.values() for name in task.classical),
)


def words_of(decoder: str, checkpoint: str, *, evoked: bool) -> list[str]:
    """Return the settings of a decoder."""
    if decoder in NETWORKS:
        return ["--config", "conv_net_evoked" if decoder == "conv_net" and evoked else decoder]
    words = ["--model.backbone.init_args.checkpoint", checkpoint]
    if decoder == RANDOM:
        return [*words, "--model.backbone.init_args.random", "true"]
    words += ["--model.adaptation.kind", decoder]
    # What tells frozen from linear is a layer before the readout.
    return [*words, "--model.head.init_args.hidden", "64"] if decoder == "frozen" else words


def fit(task: Task, decoder: str, run: Path, checkpoint: str, root: Path, cache: Path) -> None:
    """Train all folds of a decoder that are not finished."""
    from brainfm.finetune.command import main

    words = ["fit", "--config", task.preset, *words_of(decoder, checkpoint, evoked=task.evoked)]
    words += [ROOT, str(root), "--data.cache", str(cache), *task.settings]
    words += ["--trainer.enable_progress_bar", "false", "--out", str(run)]
    status = main(words)
    if status:
        raise SystemExit(status)


def cell(run: Path, task: Task) -> dict[str, object]:
    """Return value, interval and chance level of a run's main measure."""
    from brainfm.finetune.decoded_run import load_run
    from brainfm.finetune.measures import measures_of

    from brainfm.decoding_scores import score

    decoded = load_run(run)
    measure = measures_of(decoded)[0]
    block_name, blocks = decoded.blocks
    chosen = np.ones(len(decoded.trial), dtype=bool)
    if task.runs:
        # A run is too few for an interval; its stretches are left.
        block_name, blocks = "stretches of trials", stretches(decoded)
        names = decoded.column("run").tolist()
        chosen = np.array([name.endswith(task.runs) for name in names])
    found = score(
        measure.metric,
        measure.prediction[chosen],
        measure.target[chosen],
        subjects=decoded.subjects[chosen],
        blocks=blocks[chosen],
        block_name=block_name,
        generator=np.random.default_rng(0),
        n_permutations=0,
    )
    return {
        "measure": found.name,
        "value": found.value,
        "interval": found.interval,
        "over": found.over,
        "n_units": found.n_units,
        "chance": found.chance,
        "trials": int(chosen.sum()),
    }


def stretches(decoded: DecodedRun) -> np.ndarray:
    """Return the sixth of its recording that each test trial is in, (N,)."""
    recording = decoded.column("recording")
    found = np.empty(len(recording), dtype=object)
    for name in np.unique(recording):
        # Trials are by onset.
        for k, part in enumerate(np.array_split(np.flatnonzero(recording == name), 6)):
            found[part] = f"{name} {k}"
    return found.astype(str)


def text(found: dict) -> str:
    """Return a cell of the table."""
    if found["interval"] is None:
        return f"{found['value']:.3f}"
    low, high = found["interval"]
    return f"{found['value']:.3f} [{low:.3f}, {high:.3f}]"


def table(cells: dict[str, dict[str, dict]]) -> str:
    """Return Markdown: a row per decoder, a column per task."""
    tasks = [name for name in TASKS if name in cells]
    there = {row for task in tasks for row in cells[task]}
    rows = [row for row in ROWS if row in there] + sorted(there - set(ROWS))
    lines = ["| decoder | " + " | ".join(tasks) + " |", "|---" * (len(tasks) + 1) + "|"]
    any_cells = [next(iter(cells[task].values())) for task in tasks]
    kinds = [f"{c['measure']}, {c['trials']} trials, chance {c['chance']:.3g}" for c in any_cells]
    lines.append("| | " + " | ".join(kinds) + " |")
    for row in rows:
        found = [text(cells[task][row]) if row in cells[task] else "" for task in tasks]
        lines.append(f"| {row} | " + " | ".join(found) + " |")
    over = [f"{task}: {c['n_units']} {c['over']}" for task, c in zip(tasks, any_cells, strict=True)]
    return "\n".join([*lines, "", f"Intervals over {'; '.join(over)}."])


def work(args: argparse.Namespace, done: Callable[[str, str, dict], None]) -> None:
    """Fit what is asked for and hand every result on."""
    from brainfm.finetune.classical import run_classical

    converted = write_all(args.data, args.out / "recordings")
    for decoder in args.decoders:
        for name in args.tasks:
            task = TASKS[name]
            root = ((converted if task.converted else args.data) / task.folder).resolve()
            folder = args.out / (task.same or name).replace(", ", " ").replace(" ", "_").lower()
            cache = (args.out / "cache" / task.folder).resolve()
            run = folder / ("ridge" if decoder == CLASSICAL else decoder)
            with (args.out / "log.txt").open("a") as log, redirect_stdout(log):
                fit(task, run.name, run, args.checkpoint, root, cache)
            if decoder != CLASSICAL:
                title = f"encoder, {decoder}" if decoder not in NETWORKS else decoder
                done(name, title, cell(run, task))
                continue
            for classical in task.classical:
                try:
                    done(name, classical, cell(run_classical(run, classical), task))
                except ValueError as error:
                    print(f"{name}, {classical}: {error}", flush=True)


def main() -> None:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--data", type=Path, required=True, help="folder of the recordings")
    parser.add_argument("--checkpoint", default="nano", help="folder or name (default: nano)")
    parser.add_argument("--out", type=Path, default=Path("runs/decoding"))
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--decoders", nargs="+", choices=DECODERS, default=list(DECODERS))
    args = parser.parse_args()
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "decoding.json"
    cells: dict[str, dict[str, dict]] = json.loads(path.read_text()) if path.exists() else {}

    def done(task: str, row: str, found: dict) -> None:
        cells.setdefault(task, {})[row] = found
        path.write_text(json.dumps(cells, indent=1))
        print(f"{task}, {row}: {text(found)}", flush=True)

    work(args, done)
    for page in PAGES:
        if chosen := {task: cells[task] for task in page if task in cells}:
            print(f"\n{table(chosen)}")
    print(f"\nnumbers in {path}")


if __name__ == "__main__":
    main()
