"""Command line options that say how recordings are read, the same for every command."""

import dataclasses
import re
import shlex
import typing
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from brainfm.channels import ReadOptions

READ_GROUP = "how files are read (where a file does not say it, or says it wrongly)"


def add_read_options(parser: ArgumentParser) -> None:
    """Add one option per field of :class:`~brainfm.channels.ReadOptions`."""
    reading = parser.add_argument_group(READ_GROUP)
    for name, text in parameter_docs(ReadOptions).items():
        if name == "rename":
            reading.add_argument(
                "--rename", nargs="+", type=str, default=[], metavar="OLD=NEW", help=text
            )
        elif name == "exclude":
            reading.add_argument("--exclude", nargs="+", type=str, default=[], help=text)
        else:
            kind = typing.get_type_hints(ReadOptions)[name]
            default = getattr(ReadOptions(), name)
            reading.add_argument(flag(name), type=kind, default=default, help=text)


def flag(name: str) -> str:
    """Return the command line's spelling of a field."""
    return "--" + name.replace("_", "-")


def parameter_docs(cls: type) -> dict[str, str]:
    """Return what the docstring of a dataclass says of each field, in one line each."""
    from docstring_parser import parse

    described = {
        p.arg_name: " ".join((p.description or "").split()) for p in parse(cls.__doc__ or "").params
    }
    return {f.name: described.get(f.name, "").replace("``", "") for f in dataclasses.fields(cls)}


def read_options(args: Namespace) -> ReadOptions:
    """Return the reading options of a command line."""
    values: dict[str, Any] = {f.name: args[f.name] for f in dataclasses.fields(ReadOptions)}
    wrong = [pair for pair in args.rename if "=" not in pair]
    if wrong:
        raise ValueError(f"--rename takes OLD=NEW, got {wrong[0]!r}")
    values["rename"] = dict(pair.split("=", 1) for pair in args.rename)
    values["exclude"] = tuple(args.exclude)
    return ReadOptions(**values)


def spell_for_command_line(text: str) -> str:
    """Write the reading options that a message names as the command line wants them.

    ``position_unit='mm'`` becomes ``--position-unit mm``, ``montage=`` becomes ``--montage``.
    """
    names = "|".join(field.name for field in dataclasses.fields(ReadOptions))

    def spelled(found: re.Match[str]) -> str:
        value = found["value"] or ""
        quoted = shlex.quote(value.strip("'")) if value.startswith("'") else value
        return f"{flag(found['name'])} {quoted}".rstrip()

    return re.sub(rf"\b(?P<name>{names})=(?P<value>'[^']*'|[A-Z]+\b)?", spelled, text)
