"""A page for every command, with the text that ``--help`` prints."""

import contextlib
import io
import os
from pathlib import Path
from typing import Any

from brainfm.cli import COMMANDS, main, usage

ACTIONS = {
    "corpus": ("info", "verify", "split", "audit", "index"),
    "tokenizer": ("fit", "card"),
    "pretrain": ("fit",),
    "finetune": ("fit", "predict"),
}
"""What the second word of a command may be, where it has options of its own to show."""

WIDTH = "98"


def help_text(words: list[str]) -> str:
    """Return what ``brainfm WORDS --help`` prints.

    Raises
    ------
    RuntimeError
        The command failed.
    """
    printed = io.StringIO()
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = WIDTH
    try:
        with contextlib.redirect_stdout(printed):
            status = main([*words, "--help"])
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before
    if status:
        raise RuntimeError(f"brainfm {' '.join(words)} --help ended with status {status}")
    return printed.getvalue().rstrip()


def command_page(name: str) -> str:
    """Return the page of a command as Markdown."""
    parts = [f"# brainfm {name}", f"{COMMANDS[name].summary}.", _literal(help_text([name]))]
    for action in ACTIONS.get(name, ()):
        parts += [f"## brainfm {name} {action}", _literal(help_text([name, action]))]
    return "\n\n".join(parts) + "\n"


def index_page() -> str:
    """Return the page that lists the commands."""
    names = "\n".join(COMMANDS)
    toc = f"```{{toctree}}\n:maxdepth: 1\n\n{names}\n```"
    return f"# Commands\n\nAll text here is what `--help` prints.\n\n{_literal(usage())}\n\n{toc}\n"


def _literal(text: str) -> str:
    return f"````text\n{text.rstrip()}\n````"


def write_if_changed(path: Path, text: str) -> None:
    """Write a page; one that is as it was keeps its time, so that Sphinx does not read it again."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def write_pages(app: Any) -> None:
    """Write all pages below ``generated/commands``."""
    folder = Path(app.srcdir) / "generated" / "commands"
    write_if_changed(folder / "index.md", index_page())
    for name in COMMANDS:
        write_if_changed(folder / f"{name}.md", command_page(name))


def setup(app: Any) -> dict[str, Any]:
    """Write the pages before Sphinx looks for any."""
    app.connect("builder-inited", write_pages)
    return {"parallel_read_safe": True}
