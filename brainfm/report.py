"""The report of a folder that the stages wrote into: its page, its numbers, its summary.

The command is that of the last stage, which adds decoding.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from brainfm.report_folder import RunFolder
    from brainfm.report_page import Page


def folder_page(folder: "RunFolder") -> tuple["Page", dict[str, Any]]:
    """Return the page of a folder, its summary first, and its numbers.

    :func:`brainfm.report_summary.headline` picks the numbers that matter.
    """
    from brainfm.progress import track
    from brainfm.report_page import Page
    from brainfm.report_sections import SECTIONS
    from brainfm.report_summary import collect, summary_entries

    page, found = Page(), dict[str, Any]()
    for add in track(SECTIONS, "report", unit="sections"):
        found |= add(page, folder)
    numbers = collect(folder, found, page.left_out)
    page.entries[:0] = summary_entries(folder, numbers)
    return page, numbers


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
