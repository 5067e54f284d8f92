"""A page of pictures and tables, written as one HTML file through :class:`mne.Report`."""

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

from brainfm.atomic import write_bytes_atomic
from brainfm.report_style import house_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


MOST_OF_A_NUMBER = 30
"""Letters of a table's cell; longer ones must break."""


class Entry(NamedTuple):
    """One picture or piece of HTML of a section."""

    section: str
    title: str
    content: "Figure | str"
    caption: str


class Page:
    """What a report will hold, in order.

    Attributes
    ----------
    left_out
        Sections that could not be made, and why, in one line each.
    """

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.left_out: dict[str, str] = {}

    def add(self, section: str, title: str, content: "Figure | str", caption: str = "") -> None:
        """Add a picture or HTML; ``title`` and ``caption`` are plain text."""
        self.entries.append(Entry(section, title, content, caption))

    def take(self, other: "Page", section: str = "") -> None:
        """Add what another page holds, its sections under ``section`` where that is given."""
        before = f"{section}: " if section else ""
        self.entries += [e._replace(section=before + e.section) for e in other.entries]
        self.left_out |= {before + name: why for name, why in other.left_out.items()}

    def leave_out(self, section: str, reason: str) -> None:
        """Note why a section is missing."""
        self.left_out[section] = reason

    def write(self, path: Path, title: str, *, first: Sequence[Entry] = ()) -> None:
        """Write the page with ``first`` before all else, whole or not at all."""
        import mne

        report = mne.Report(title=title, verbose="error")
        for entry in (*first, *self.entries):
            shared = {"title": entry.title, "section": entry.section}
            if isinstance(entry.content, str):
                report.add_html(html=entry.content, tags=("numbers",), **shared)
                continue
            with house_style():
                report.add_figure(
                    fig=entry.content,
                    caption=entry.caption or None,
                    tags=("picture",),
                    image_format="webp",
                    **shared,
                )
        with TemporaryDirectory() as folder:
            whole = Path(folder) / "report.html"
            report.save(whole, open_browser=False, overwrite=True, verbose="error")
            write_bytes_atomic(path, whole.read_bytes())


def html_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of plain text; columns of numbers stand right."""
    held = [tuple(row) for row in rows]
    right = [
        all(_is_number(row[k]) for row in held if row[k]) and any(row[k] for row in held)
        for k in range(len(header))
    ]

    def line(tag: str, cells: Sequence[str]) -> str:
        styles = ("", "text-align:right", "text-align:right;white-space:nowrap")
        chosen = (styles[there + (there and tag == "td")] for there in right)
        pairs = zip(chosen, cells, strict=True)
        return "".join(f'<{tag} style="{style}">{_breakable(c)}</{tag}>' for style, c in pairs)

    body = "".join(f"<tr>{line('td', row)}</tr>" for row in held)
    style = "width:auto;min-width:50%;font-size:0.95rem"
    return (
        f'<table class="table table-sm table-hover" style="{style}">'
        f"<thead><tr>{line('th', header)}</tr></thead><tbody>{body}</tbody></table>"
    )


def _breakable(text: str) -> str:
    """Escape text and let long names break, so that a table is never wider than the page."""
    return escape(text).replace("_", "_<wbr>")


def html_list(lines: Iterable[str]) -> str:
    """Return plain lines as a list."""
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def _is_number(cell: str) -> bool:
    """Tell whether a cell is a number, with its unit or a word; a sentence may begin with one."""
    return len(cell) <= MOST_OF_A_NUMBER and (cell[:1].isdigit() or cell[:1] in "-–[")
