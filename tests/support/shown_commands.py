"""The commands that README and docs show, for tests that read and run them.

A test that runs one names it, as ``"docs/nano.md: brainfm codes corpus"``: a page and how the line
begins. ``test_documented_commands.py`` looks for these names, so that no line is run nowhere.
"""

import ast
import re
import shlex
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [ROOT / "README.md", *(p for p in (ROOT / "docs").glob("*.md") if p.name != "api.md")]
)
PROGRAMS = ("brainfm", "make", "python", "sbatch")
NAME = re.compile(r"((?:README|docs/\w+)\.md): (.+)")


class Shown(NamedTuple):
    """A line of a page: where it is, and its words."""

    where: str
    words: tuple[str, ...]

    @property
    def page(self) -> str:
        """Return the page's path in the checkout."""
        return self.where.rsplit(":", 1)[0]


def code_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield number and text of lines in bash blocks and in indented code, continued ones joined."""
    fence, waiting, number = "", "", 0
    for k, line in enumerate(text.splitlines(), start=1):
        mark = re.match(r"\s*(```+)(\w*)", line)
        if mark:
            fence = "" if fence else (mark[2] or "none")
            continue
        if fence not in ("", "bash", "console") or not (fence or line.startswith("    ")):
            continue
        number = number if waiting else k
        if line.rstrip().endswith("\\"):
            waiting += line.rstrip()[:-1] + " "
            continue
        yield number, (waiting + line).strip()
        waiting = ""


@lru_cache
def shown_commands() -> tuple[Shown, ...]:
    """Return what all pages show; the table of README, "command input -> output", is none."""
    found: dict[Shown, None] = {}
    for page in PAGES:
        for number, line in code_lines(page.read_text(encoding="utf-8")):
            if not line.startswith(tuple(f"{name} " for name in PROGRAMS)) or " -> " in line:
                continue
            where = f"{page.relative_to(ROOT).as_posix()}:{number}"
            words = shlex.split(line, comments=True)
            found[Shown(where, tuple(word for word in words if word != "..."))] = None
    return tuple(found)


def lines_named(name: str) -> list[Shown]:
    """Return the line of a page that is so, else those that begin so."""
    match = NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"name a page and how its line begins, 'README.md: make', not {name!r}")
    page, beginning = match[1], tuple(shlex.split(match[2]))
    on_page = [one for one in shown_commands() if one.page == page]
    exact = [one for one in on_page if one.words == beginning]
    return exact or [one for one in on_page if one.words[: len(beginning)] == beginning]


def documented(name: str, **put: str) -> list[str]:
    """Return the words after the program of the one line of a page that begins so.

    Parameters
    ----------
    name
        ``"docs/nano.md: brainfm codes"``.
    put
        What stands in place of a word in capitals, or is put for a part of a word.
    """
    found = lines_named(name)
    if len(found) != 1:
        raise ValueError(f"{name!r} is how {len(found)} lines of that page begin")
    words = list(found[0].words[1:])
    for placeholder, value in put.items():
        assert any(placeholder in word for word in words), placeholder
        words = [word.replace(placeholder, value) for word in words]
    return words


def names_in_tests() -> dict[str, str]:
    """Return the lines that tests name, and the test file that does.

    ``test_documented_commands.py`` is none of them: it reads lines and runs nothing.
    """
    found: dict[str, str] = {}
    tests = sorted((ROOT / "tests").rglob("test_*.py"))
    for path in (path for path in tests if path.name != "test_documented_commands.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            value = node.value if isinstance(node, ast.Constant) else None
            if isinstance(value, str) and NAME.fullmatch(value):
                found[value] = path.relative_to(ROOT).as_posix()
    return found
