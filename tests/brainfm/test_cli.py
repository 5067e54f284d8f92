"""The console script: exit statuses, one-line errors, help."""

import os
import subprocess
import sys
import time
import warnings
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest
from jsonargparse import ArgumentParser, Namespace

from brainfm import __version__, cli
from brainfm.cli import Command, error_line, main


class Toy(ModuleType):
    """Count the samples of a recording.

    A second paragraph about ``sfreq``.

    Example:
        brainfm toy recording.edf --sfreq 100
    """

    def __init__(self) -> None:
        super().__init__("brainfm_toy", Toy.__doc__)
        self.outcome: object = None

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="recording")
        parser.add_argument("--sfreq", type=float, default=256.0, help="sampling rate in Hz")
        parser.add_argument("--unit", type=str, help="unit of the file")

    def run(self, args: Namespace) -> object:
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        if callable(self.outcome):
            return self.outcome(args)
        return self.outcome


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Toy:
    module = Toy()
    monkeypatch.setitem(sys.modules, "brainfm_toy", module)
    command = Command(module="brainfm_toy", summary="count samples")
    monkeypatch.setattr(cli, "COMMANDS", {**cli.COMMANDS, "toy": command})
    monkeypatch.setattr(cli, "ENVIRONMENT", {})
    return module


def test_help_lists_every_command_and_exits_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    for name, command in cli.COMMANDS.items():
        assert f"  {name} " in out
        assert command.summary in out
    assert max(map(len, out.splitlines())) <= 100


def test_no_command_is_bad_usage_and_leaves_stdout_empty(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("usage: brainfm")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"brainfm {__version__}\n"


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("encod", "unknown command 'encod'; did you mean 'encode'? See 'brainfm --help'."),
        ("xyzzy", "unknown command 'xyzzy'. See 'brainfm --help'."),
        ("--xyzzy", "unknown option '--xyzzy'. See 'brainfm --help'."),
    ],
)
def test_an_unknown_word_is_bad_usage(
    word: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([word]) == 2
    assert capsys.readouterr().err == f"brainfm: {line}\n"


def test_help_of_a_command_keeps_the_paragraphs_of_its_docstring(
    toy: Toy, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["toy", "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "usage: brainfm toy [options] file"
    start = lines.index("Count the samples of a recording.")
    assert lines[start + 1 : start + 6] == [
        "",
        "A second paragraph about 'sfreq'.",
        "",
        "Example:",
        "    brainfm toy recording.edf --sfreq 100",
    ]
    text = "\n".join(lines)
    assert "recording (required, type: path)" in text
    assert "sampling rate in Hz (type: float, default: 256.0)" in text
    assert text.endswith("unit of the file (type: str)")


def test_a_subcommand_is_called_as_one_types_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["corpus", "split", "--help"]) == 0
    assert capsys.readouterr().out.startswith("usage: brainfm corpus split [options] DIR\n")
    assert main(["corpus", "split", "--xyzzy"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("brainfm corpus split: ")
    assert error.endswith("See 'brainfm corpus split --help'.\n")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "required: file"),
        (["a.edf", "--sfrek", "1"], "--sfrek"),
        (["a.edf", "--sfreq", "fast"], "--sfreq: Expected a float. Got value: fast"),
    ],
)
def test_bad_usage_of_a_command_is_one_line_and_2(
    words: list[str], complaint: str, toy: Toy, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["toy", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("brainfm toy: ")
    assert complaint in captured.err
    assert captured.err.endswith("See 'brainfm toy --help'.\n")


@pytest.mark.parametrize(("outcome", "status"), [(None, 0), (0, 0), (1, 1), (3, 3)])
def test_what_run_returns_is_the_exit_status(outcome: object, status: int, toy: Toy) -> None:
    toy.outcome = outcome
    assert main(["toy", "a.edf"]) == status


def test_arguments_reach_run_with_their_types(toy: Toy) -> None:
    seen: list[Namespace] = []
    toy.outcome = seen.append
    assert main(["toy", "a.edf", "--sfreq", "100"]) == 0
    assert seen[0].file == Path("a.edf")
    assert seen[0].sfreq == 100.0


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("two\n  lines"), "two lines"),
        (FileNotFoundError(2, "No such file or directory", "a.edf"), "No such file or directory: "),
        (OSError("Unable to open file"), "Unable to open file"),
        (KeyError("Cz"), "KeyError: 'Cz'"),
        (AssertionError(), "AssertionError"),
        (ZeroDivisionError("division by zero"), "ZeroDivisionError: division by zero"),
    ],
)
def test_a_failure_is_one_line_and_1(
    error: Exception, line: str, toy: Toy, capsys: pytest.CaptureFixture[str]
) -> None:
    toy.outcome = error
    assert main(["toy", "a.edf"]) == 1
    err = capsys.readouterr().err
    assert err.startswith(f"brainfm toy: {line}")
    assert err.count("\n") == 1
    assert "--debug shows where" in err


def test_a_missing_file_is_named() -> None:
    with pytest.raises(FileNotFoundError) as caught:
        Path("nowhere/a.edf").read_bytes()
    assert error_line(caught.value) == "No such file or directory: nowhere/a.edf"


@pytest.mark.parametrize("words", [["--debug", "toy", "a.edf"], ["toy", "a.edf", "--debug"]])
def test_debug_lets_the_exception_through(words: list[str], toy: Toy) -> None:
    toy.outcome = ValueError("wrong")
    with pytest.raises(ValueError, match="wrong"):
        main(words)


@pytest.mark.parametrize(("value", "raises"), [("1", True), ("0", False), ("", False)])
def test_debug_by_environment(
    value: str, raises: bool, toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRAINFM_DEBUG", value)
    toy.outcome = ValueError("wrong")
    if raises:
        with pytest.raises(ValueError, match="wrong"):
            main(["toy", "a.edf"])
    else:
        assert main(["toy", "a.edf"]) == 1


@pytest.mark.parametrize(
    ("stop", "status"),
    [(SystemExit(), 0), (SystemExit(5), 5), (SystemExit("no"), 1), (KeyboardInterrupt(), 130)],
)
def test_stops_become_statuses(stop: BaseException, status: int, toy: Toy) -> None:
    toy.outcome = stop
    assert main(["toy", "a.edf"]) == status


def test_a_warning_is_one_line_without_source(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    def warn(args: Namespace) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            text = warnings.formatwarning("no\n positions", RuntimeWarning, "/some/file.py", 3)
        print(text, end="", file=sys.stderr)

    toy.outcome = warn
    before = warnings.formatwarning
    assert main(["toy", "a.edf"]) == 0
    assert capsys.readouterr().err == "warning: no positions\n"
    assert warnings.formatwarning is before


def test_settings_of_the_user_win(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "ENVIRONMENT", {"TOY_A": "ours", "TOY_B": "ours"})
    monkeypatch.setenv("TOY_A", "theirs")
    monkeypatch.setenv("TOY_B", "")
    monkeypatch.delenv("TOY_B")
    seen: list[str] = []
    toy.outcome = lambda args: seen.extend((os.environ["TOY_A"], os.environ["TOY_B"]))
    assert main(["toy", "a.edf"]) == 0
    assert seen == ["theirs", "ours"]


def test_help_starts_fast_and_survives_a_closed_pipe() -> None:
    command = [sys.executable, "-m", "brainfm.cli", "--help"]
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    # 0.15 s alone; the limit leaves room for a busy machine.
    assert time.perf_counter() - start < 3
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_help_with_an_example(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = cli.COMMANDS[name].module
    if find_spec(module) is None:
        pytest.skip(f"{module} is not written yet")
    monkeypatch.setattr(cli, "ENVIRONMENT", {})
    assert main([name, "--help"]) == 0
    usage, _, body = capsys.readouterr().out.partition("\n\n")
    assert f"brainfm {name}" in usage
    assert f"brainfm {name} " in body, "the module's docstring shows no example"


def test_options_in_messages_are_spelled_for_the_command_line() -> None:
    from brainfm.read_arguments import spell_for_command_line

    text = "give position_unit='mm' or montage= (a name), or unit='mV as uV', head_transform=FILE"
    assert spell_for_command_line(text) == (
        "give --position-unit mm or --montage (a name), or --unit 'mV as uV', --head-transform FILE"
    )
