"""Show how much of a signal a tokenizer's codes keep: a page of pictures and its numbers as JSON.

Held-out recordings of a corpus (every side of its split but 'train') go through the codes and
back: correlation, error, signal-to-noise ratio, phase, topography and amplitude for every device,
sensor type and frequency band, with 95 % intervals, beside two baselines that have learned nothing.

Example::

    brainfm tokenizer card runs/demo/tokenizer-checkpoint runs/demo/corpus --out card
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser, Namespace

from brainfm.fidelity import WindowGrid
from brainfm.fidelity_summary import FORMAT, NUMBERS

if TYPE_CHECKING:
    from brainfm.fidelity_card_numbers import Measured

PAGE = "card.html"


@dataclass(frozen=True, kw_only=True)
class CardConfig:
    """How much is looked at.

    Parameters
    ----------
    max_recordings
        Most recordings of each held-out side, evenly chosen.
    grid
        Windows of each.
    max_examples
        Most recordings of which waveforms and maps are drawn: one of each device, the median one.
    device
        Where the tokenizer runs.
    """

    max_recordings: int = 24
    grid: WindowGrid = field(default_factory=WindowGrid)
    max_examples: int = 12
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.max_recordings < 1:
            raise ValueError(f"recordings must be at least 1, got {self.max_recordings}")


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("checkpoint", type=Path, help="Checkpoint folder or name (nano).")
    parser.add_argument("corpus", type=Path, help="Folder that 'brainfm prepare' made.")
    parser.add_argument(
        "--out", type=Path, required=True, help=f"Folder for {PAGE} and {NUMBERS}; made if missing."
    )
    parser.add_argument(
        "--split", type=Path, help="Manifest of 'brainfm corpus split'; default: the corpus's own."
    )
    parser.add_argument(
        "--recordings", type=int, default=24, help="Most recordings of each held-out side."
    )
    parser.add_argument(
        "--windows", type=int, default=32, help="Most windows of a recording, evenly spread."
    )
    parser.add_argument("--device", type=str, default="cpu", help="'cpu', 'cuda' or 'cuda:N'.")


def run(args: Namespace) -> int:
    """Write the card and say where it is."""
    grid = WindowGrid(max_windows=args.windows, run=min(WindowGrid().run, args.windows))
    cfg = CardConfig(max_recordings=args.recordings, grid=grid, device=args.device)
    numbers = write_card(args.checkpoint, args.corpus, args.out, cfg, split=args.split)
    for section, reason in numbers["left_out"].items():
        print(f"left out: {section}: {reason}")
    print_summary(numbers)
    print(f"card in {args.out / PAGE}, its numbers in {args.out / NUMBERS}")
    return 0


def write_card(
    checkpoint: Path, corpus_folder: Path, out: Path, cfg: CardConfig, *, split: Path | None = None
) -> dict[str, Any]:
    """Measure, and write ``card.html`` and ``card.json`` into ``out``.

    Parameters
    ----------
    checkpoint, corpus_folder
        The model and the recordings.
    out
        Folder; made if missing.
    cfg
        How much is looked at.
    split
        Manifest; None is the corpus's own.

    Returns
    -------
    dict
        The content of ``card.json``.
    """
    from brainfm.atomic import write_json_atomic
    from brainfm.corpus import Corpus
    from brainfm.fidelity import reconstruct
    from brainfm.fidelity_card_numbers import card_numbers, load_split, measure_recording
    from brainfm.fidelity_card_page import (
        add_drift,
        add_example,
        add_groups,
        add_tables,
        add_usage,
        summary_entries,
    )
    from brainfm.held_out import held_out_recordings, matching_encoder
    from brainfm.progress import track
    from brainfm.report_page import Page

    corpus = Corpus(corpus_folder)
    encoder = matching_encoder(checkpoint, corpus, cfg.device)
    held = load_split(corpus, split)
    chosen = held_out_recordings(corpus, held, cfg.max_recordings)
    page, found = Page(), []
    for shown in track(chosen, "card", unit="recordings"):
        measured = measure_recording(encoder, corpus, shown, cfg.grid)
        if measured is None:
            page.leave_out(shown.info.id, "no window without flagged seconds")
        else:
            found.append(measured)
    if not found:
        raise ValueError(
            f"{corpus.path}: no held-out recording with a clean window; hold some out with "
            "'brainfm corpus split'"
        )
    numbers = card_numbers(encoder, corpus, held, found)
    add_groups(page, numbers["groups"])
    examples = typical_recordings(found)[: cfg.max_examples]
    for one in examples:
        add_example(page, one, reconstruct(encoder, corpus, one.shown.place, cfg.grid))
    add_usage(page, found, numbers["codes"])
    numbers["drift"] = add_drift(page, encoder, corpus, examples)
    add_tables(page, numbers["groups"])
    numbers = {"format": FORMAT, "checkpoint_folder": str(checkpoint), **numbers}
    numbers["left_out"] = dict(page.left_out)
    out.mkdir(parents=True, exist_ok=True)
    title = f"Fidelity of {checkpoint.resolve().name}"
    page.write(out / PAGE, title, first=summary_entries(numbers))
    write_json_atomic(out / NUMBERS, numbers)
    return numbers


def typical_recordings(found: "Sequence[Measured]") -> "list[Measured]":
    """Return one recording of every group: the one of median correlation, not the best."""
    groups: dict[tuple[str, str], list[Measured]] = {}
    for one in found:
        groups.setdefault(one.group, []).append(one)
    return [
        sorted(members, key=lambda one: one.mean_correlation)[(len(members) - 1) // 2]
        for members in groups.values()
    ]


def print_summary(numbers: dict[str, Any]) -> None:
    """Print the fidelity of the whole signal of every group as a table on stdout."""
    from rich.console import Console
    from rich.table import Table

    from brainfm.fidelity_card_numbers import CODES, QUANTILES
    from brainfm.fidelity_card_tables import group_title
    from brainfm.fidelity_measures import MEASURES, WHOLE

    table = Table(box=None, pad_edge=False)
    shown = ("correlation", "error", "snr_db", "amplitude_ratio")
    for name in ("side", "sensors", *(MEASURES[name].label for name in shown)):
        table.add_column(name, justify="left" if name in ("side", "sensors") else "right")
    for row in numbers["groups"]:
        if row["band"] != WHOLE:
            continue
        held = [row["measures"].get(name) for name in shown]
        cells = [
            "–" if m is None else f"{m[CODES]['value']:.2f} ({m[QUANTILES]['value']:.2f})"
            for m in held
        ]
        table.add_row(row["side"], group_title(row), *cells)
    console = Console(highlight=False, markup=False)
    console.print(table)
    console.print("In brackets: fixed quantiles at as many bits a second.")
