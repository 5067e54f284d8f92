"""Every command that README and docs show is read by its real parser, and run by some test."""

import argparse
import ast
import importlib
import re
import runpy
import sys
from pathlib import Path

import pytest
from shown_commands import (
    PAGES,
    PROGRAMS,
    ROOT,
    Shown,
    code_lines,
    documented,
    lines_named,
    names_in_tests,
    shown_commands,
)

from brainfm.cli import COMMANDS, main
from brainfm.command_parser import command_parser
from brainfm.stage_cli import engine_names, preset_names

STAGES = [name for name in COMMANDS if name in ("tokenizer", "pretrain", "finetune")]


ALL = shown_commands()
OF_BRAINFM = [one for one in ALL if one.words[0] == "brainfm"]
PLAIN = [one for one in OF_BRAINFM if one.words[1] not in STAGES or one.words[2] == "card"]
STAGED = [one for one in OF_BRAINFM if one not in PLAIN]
CODES = "docs/nano.md: brainfm codes corpus"
REPORT = "docs/evaluation.md: brainfm report runs"
BENCHMARKS = [one for one in ALL if one.words[0] == "python"]


def named(shown: list[Shown]) -> pytest.MarkDecorator:
    """Parametrise a test by lines, each different one once."""
    different = {one.words: one for one in reversed(shown)}
    rows = sorted(different.values())
    return pytest.mark.parametrize("shown", rows, ids=[one.where for one in rows])


def parse_plain(words: tuple[str, ...]) -> None:
    """Read the line of a command that is not a stage; SystemExit if it cannot be read."""
    name, module, options = words[1], COMMANDS[words[1]].module, words[2:]
    if words[1:3] == ("tokenizer", "card"):
        name, module, options = "tokenizer card", "brainfm.fidelity_card", words[3:]
    command_parser(name, importlib.import_module(module)).parse_args(list(options))


def without_own_settings(words: tuple[str, ...]) -> list[str]:
    """Leave out ``--config FILE`` of the reader's own; a name that is no preset stays."""
    found = list(words)
    for k in reversed([k for k, word in enumerate(found) if word == "--config"]):
        known = found[k + 1] in [*preset_names(found[0]), *engine_names()]
        if found[k + 1].endswith(".yaml") and not known:
            del found[k : k + 2]
    return found


def test_no_line_of_a_page_is_overlooked() -> None:
    """Blocks are of kinds that are looked at, and hold commands that are; two others are known."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        opening = re.findall(r"^ *(?:`{3,}|~{3,}) *(\S*)\n(?:.*\n)*? *(?:`{3,}|~{3,})", text, re.M)
        assert {kind or "none" for kind in opening} <= {"python", "yaml", "{toctree}"}, page.name
        for number, line in code_lines(text):
            known = line.startswith(tuple(f"{name} " for name in PROGRAMS))
            other = line in ("", "pip install .") or line.startswith('cp "$(python -c ')
            assert known or other, f"{page.name}:{number}: {line}"


def test_lines_are_found() -> None:
    assert min(map(len, (PLAIN, STAGED, BENCHMARKS))) > 3
    text = (
        "    brainfm a \\\n        --b\n```bash\nmake c\n```\n```python\nbrainfm d\n```\nmake e\n"
    )
    assert [" ".join(line.split()) for _, line in code_lines(text)] == ["brainfm a --b", "make c"]


def test_commands_and_targets_exist() -> None:
    assert [one for one in OF_BRAINFM if one.words[1] not in COMMANDS] == []
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    asked = [one for one in ALL if one.words[0] == "make"]
    assert [one for one in asked if one.words[1] not in targets] == []
    files = [one for one in ALL if one.words[0] in ("python", "sbatch")]
    assert [one for one in files if not (ROOT / one.words[1]).is_file()] == []


def test_every_line_is_run_by_a_test() -> None:
    """A line that stands on several pages need be run once."""
    names = names_in_tests()
    assert [name for name in names if not lines_named(name)] == []
    run = {one.words for name in names for one in lines_named(name)}
    assert [f"{one.where}: {' '.join(one.words)}" for one in ALL if one.words not in run] == []


def test_a_line_is_named_by_how_it_begins() -> None:
    words = documented(CODES, nano="other")
    assert words[:4] == ["codes", "corpus", "--tokenizer", "other"]
    # What a whole line says is that line, though others begin so.
    assert len(lines_named(REPORT)) == 1
    with pytest.raises(ValueError, match="lines of that page begin"):
        documented("docs/measurements.md: " + "python")
    with pytest.raises(ValueError, match="name a page"):
        documented("brainfm gone")


@named(PLAIN)
def test_a_command_reads_its_line(shown: Shown) -> None:
    parse_plain(shown.words)


def test_an_option_that_is_gone_is_noticed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_plain(("brainfm", "encode", "nano", "a.fif", "--out", "b.h5", "--gone", "1"))
    assert "--gone" in capsys.readouterr().err


@named(STAGED)
def test_a_stage_reads_its_line(shown: Shown, capsys: pytest.CaptureFixture[str]) -> None:
    words = without_own_settings(shown.words[1:])
    assert main([*words, "--print_config"]) == 0, capsys.readouterr().err


def test_a_preset_that_is_gone_is_noticed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pretrain", "fit", "--config", "gone", "--print_config"]) == 1
    assert "no preset of that name" in capsys.readouterr().err


class ReadError(Exception):
    """The line was read; nothing must follow."""


@named(BENCHMARKS)
def test_a_benchmark_reads_its_line(shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    read = argparse.ArgumentParser.parse_args

    def read_and_stop(*args: object, **settings: object) -> None:
        read(*args, **settings)  # type: ignore[arg-type]
        raise ReadError

    path = ROOT / shown.words[1]
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", read_and_stop)
    monkeypatch.syspath_prepend(path.parent)
    monkeypatch.setattr(sys, "argv", [str(path), *shown.words[2:]])
    with pytest.raises(ReadError):
        runpy.run_path(str(path), run_name="__main__")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks_compile_and_import_what_there_is(page: Path) -> None:
    for block in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    importlib.import_module(alias.name)
            elif isinstance(node, ast.ImportFrom):
                module = importlib.import_module(node.module or "")
                assert [a.name for a in node.names if not hasattr(module, a.name)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_within_sentences_exist(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for found in re.findall(r"`brainfm\s+([^`]+)`", text):
        name = found.split()[0]
        assert name in (*COMMANDS, "COMMAND", "--help"), f"{page.name}: brainfm {name}"


def test_extras_that_pages_name_exist() -> None:
    import tomllib

    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for page in PAGES:
        for listed in re.findall(r"(?:toolkit|\.)\[([\w,-]+)\]'", page.read_text(encoding="utf-8")):
            assert set(listed.split(",")) <= set(extras["optional-dependencies"]), page.name
    told = re.findall(r"^\| `([\w-]+)` \|", (ROOT / "docs/install.md").read_text(), re.MULTILINE)
    assert sorted(told) == sorted(extras["optional-dependencies"])
