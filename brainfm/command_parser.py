"""The argument parser of the commands: help that reads well, errors in one line."""

import inspect
import re
import sys
from argparse import ZERO_OR_MORE, Action, RawDescriptionHelpFormatter
from collections.abc import Iterable
from difflib import get_close_matches
from types import ModuleType
from typing import Any, NoReturn

from jsonargparse import ArgumentParser, DefaultHelpFormatter


def _plain_types(text: str) -> str:
    """Write ``<class 'pathlib.Path'>`` as ``path``."""
    return re.sub(
        r"<class\s+'(?:\w+\.)*(\w+)'>",
        lambda found: found[1].lower() if found[1].endswith("Path") else found[1],
        text,
    )


def _typed(prog: str) -> str:
    """Return the name of a command as one types it; jsonargparse marks where options may stand."""
    return prog.replace(" [options]", "")


def _without_nothings(text: str) -> str:
    """Drop defaults that say nothing, and choices that the option's own column lists."""
    text = text.replace(" | null", "")
    text = re.sub(r"type: Literal\[[^]]*\](, )?", "", text)
    text = re.sub(r"(, )?default: (null|\[\]|)(?=\)$)", "", text)
    return re.sub(r" \(\)$", "", text)


class HelpFormatter(DefaultHelpFormatter, RawDescriptionHelpFormatter):
    """Description as written, a usage line that fits, type and default beside every option."""

    def __init__(self, prog: str, **settings: Any) -> None:
        settings.setdefault("max_help_position", 28)
        super().__init__(_typed(prog), **settings)
        self._width = min(self._width, 98)

    def _format_usage(
        self, usage: str | None, actions: Iterable[Action], groups: Any, prefix: str | None
    ) -> str:
        """Name what must be given; the rest is "[options]", described below."""
        needed = [a for a in actions if a.required or not a.option_strings]
        text: str = super()._format_usage(usage, needed, [], prefix)
        # Without prefix it is no usage line but the beginning of the names of subcommands.
        return text if prefix == "" else text.replace(self._prog, f"{self._prog} [options]", 1)

    def _expand_help(self, action: Action) -> str:
        text = _without_nothings(_plain_types(super()._expand_help(action)))
        # argparse calls a positional that may be empty "required".
        return text.replace("(required, ", "(") if action.nargs == ZERO_OR_MORE else text


def _meant(parser: Any, text: str) -> str:
    """Return a question that names the option most like the one that is refused."""
    refused = re.search(r"(?:unrecognized arguments: --|does not accept option ')([\w.-]+)", text)
    if refused is None:
        return ""
    known = [option.lstrip("-") for action in parser._actions for option in action.option_strings]
    return "".join(f" Is --{name} meant?" for name in get_close_matches(refused[1], known, 1, 0.8))


class OneLineErrors:
    """Of a jsonargparse parser: what is wrong with the words is one line, and exit status 2."""

    prog: str
    exit_on_error: bool

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print what was wrong with the command line or a settings file, and exit."""
        if not self.exit_on_error:  # a parser within a parser, which tells the outer one
            super().error(message, ex)  # type: ignore[misc]
        text = " ".join(_plain_types(message).split())
        text = re.sub(r'^Parser key "([^"]+)":', r"--\1:", text).rstrip(".")
        parser = getattr(ex, "subcommand_parser", self)
        name = _typed(parser.prog)
        print(f"{name}: {text}.{_meant(parser, text)} See '{name} --help'.", file=sys.stderr)
        raise SystemExit(2) from ex


class CommandParser(OneLineErrors, ArgumentParser):
    """The parser of a command that is not a training stage."""


def plain_text(docstring: str | None) -> str:
    """Return a docstring as a terminal shows it: without the marks of reStructuredText."""
    return inspect.cleandoc(docstring or "").replace("``", "'").replace("::\n", ":\n")


def command_parser(name: str, module: ModuleType) -> CommandParser:
    """Build the parser of a command; its description is the module's docstring as written."""
    parser = CommandParser(
        prog=f"brainfm {name}",
        description=plain_text(module.__doc__),
        formatter_class=HelpFormatter,
        # An abbreviation that fits today means something else after the next new option.
        allow_abbrev=False,
    )
    module.add_arguments(parser)
    return parser
