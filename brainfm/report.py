"""Look at a run: one HTML page of pictures, and its numbers as JSON beside it.

The folder may hold corpus/ (with split.json), tokenizer/, tokenizer-checkpoint/, codes/, pretrain/,
checkpoint/ and features.h5; what is missing is left out and named.

Example::

    brainfm report runs/demo --out report.html
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser, Namespace

if TYPE_CHECKING:
    from brainfm.report_folder import RunFolder


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("folder", type=Path, help="Folder of the run.")
    parser.add_argument(
        "--out", type=Path, help="Page to write (.html); report.html in the folder if not given."
    )
    parser.add_argument(
        "--recordings",
        type=int,
        default=8,
        help="Most recordings of each held-out side that are reconstructed.",
    )
    parser.add_argument("--device", type=str, default="cpu", help="'cpu', 'cuda' or 'cuda:N'.")


def run(args: Namespace) -> int:
    """Write the report and say where it is."""
    from brainfm.report_folder import RunFolder

    out = args.out or args.folder / "report.html"
    if out.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"--out must end in .html, got {out}")
    folder = RunFolder(args.folder, max_recordings=args.recordings, device=args.device)
    numbers = write_report(folder, out)
    for section, reason in numbers["left_out"].items():
        print(f"left out: {section}: {reason}")
    print(f"report in {out}, its numbers in {out.with_suffix('.json')}")
    return 0


def write_report(folder: "RunFolder", out: Path) -> dict[str, Any]:
    """Write the page and, beside it with the suffix .json, its numbers.

    Returns
    -------
    dict
        The numbers; :func:`brainfm.report_summary.headline` picks those that matter.
    """
    from brainfm.atomic import write_json_atomic
    from brainfm.progress import track
    from brainfm.report_page import Page
    from brainfm.report_sections import SECTIONS
    from brainfm.report_summary import collect, summary_entries

    page, found = Page(), dict[str, Any]()
    for add in track(SECTIONS, "report", unit="sections"):
        found |= add(page, folder)
    numbers = collect(folder, found, page.left_out)
    out.parent.mkdir(parents=True, exist_ok=True)
    title = f"brainfm report: {folder.path.resolve().name}"
    page.write(out, title, first=summary_entries(folder, numbers))
    write_json_atomic(out.with_suffix(".json"), numbers)
    return numbers


def print_summary(numbers: Path) -> None:
    """Print the numbers that matter, from the JSON of a report, as a table on stdout."""
    from rich.console import Console
    from rich.table import Table

    from brainfm.report_summary import headline, statements

    content = json.loads(numbers.read_text(encoding="utf-8"))
    table = Table(box=None, pad_edge=False)
    table.add_column("what")
    table.add_column("value", justify="right")
    table.add_column("without the model", justify="right")
    for row in headline(content):
        table.add_row(*row)
    console = Console(highlight=False, markup=False)
    console.print(table)
    for line in statements(content):
        console.print(f"- {line}")
