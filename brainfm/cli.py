"""The ``brainfm`` console script: one table of commands, one way to fail.

A command is a module with ``add_arguments(parser)`` and ``run(args)``, or, where Lightning parses
the rest of the line itself, with ``main(argv)``. Its docstring is the text above its options and
holds an example. Modules are imported only when their command runs, so ``--help`` is instant.
"""

import importlib
import os
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

OK, FAILED, BAD_USAGE, INTERRUPTED = 0, 1, 2, 130


@dataclass(frozen=True, kw_only=True)
class Command:
    """Where a command lives and what ``brainfm --help`` says of it."""

    module: str
    summary: str


COMMANDS: Mapping[str, Command] = MappingProxyType(
    {
        "prepare": Command(
            module="brainfm.prepare", summary="recordings (any MNE format) -> standardised corpus"
        ),
        "corpus": Command(
            module="brainfm.corpus_command", summary="inspect, verify, split a corpus"
        ),
        "tokenizer": Command(
            module="brainfm.tokenizer.command",
            summary="train the tokenizer (stage 1); 'card' measures what it keeps",
        ),
        "codes": Command(
            module="brainfm.codes_command", summary="corpus + tokenizer -> codes, once"
        ),
        "pretrain": Command(
            module="brainfm.pretrain.command",
            summary="train the masked model (stage 2)",
        ),
        "export": Command(
            module="brainfm.finetune.export",
            summary="training run -> checkpoint folder to publish; model -> ONNX",
        ),
        "import-brainomni": Command(
            module="brainfm.brainomni_import",
            summary="published BrainOmni folder -> checkpoint folder",
        ),
        "encode": Command(
            module="brainfm.encode", summary="checkpoint + recording -> features (HDF5)"
        ),
        "stream": Command(
            module="brainfm.stream_command",
            summary="checkpoint + running recording (LSL, file) -> codes, features, decisions",
        ),
        "finetune": Command(
            module="brainfm.finetune.command",
            summary="decode (stage 3): a head on a checkpoint, fold by fold",
        ),
        "evaluate": Command(
            module="brainfm.finetune.evaluate",
            summary="judge a decoder beside its null controls, compare several",
        ),
        "report": Command(
            module="brainfm.finetune.report_command",
            summary="run folder, or runs to compare -> HTML report with pictures",
        ),
        "encoding": Command(
            module="brainfm.encoding_command",
            summary="features of stimuli + responses -> how well the ones predict the others",
        ),
        "simulate": Command(
            module="brainfm.simulate",
            summary="real stimuli -> synthetic EEG and MEG with a known response",
        ),
        "demo": Command(
            module="brainfm.demo",
            summary="the whole line on bundled real recordings, with a report",
        ),
    }
)

ENVIRONMENT = MappingProxyType(
    {"MNE_LOGGING_LEVEL": "WARNING", "MPLBACKEND": "agg", "OMP_WAIT_POLICY": "PASSIVE"}
)
"""Set where the user has not: no page of MNE's reading notes, no window for a picture, and threads
that sleep while they wait (spinning ones made a training step up to eight times slower on a machine
with other work)."""


def usage() -> str:
    """Return the text of ``brainfm --help``."""
    width = max(map(len, COMMANDS))
    listing = "\n".join(f"  {name:<{width}}  {cmd.summary}" for name, cmd in COMMANDS.items())
    return (
        "usage: brainfm [--version] [--debug] COMMAND ...\n\n"
        "EEG and MEG from any device as discrete codes: tokenize, pretrain, decode.\n\n"
        f"commands, in the order of the data:\n{listing}\n\n"
        "options:\n"
        "  --version  print the version and exit\n"
        "  --debug    show the full traceback of an error (also: BRAINFM_DEBUG=1)\n\n"
        "'brainfm COMMAND --help' shows a command's options, units and an example.\n"
        "Start with 'brainfm demo': real recordings through every stage in minutes.\n"
    )


def run_command(name: str, argv: list[str]) -> int:
    """Run one command in this process and return its exit status.

    Exceptions pass through; bad usage and ``--help`` raise ``SystemExit`` as argparse does.
    """
    module = importlib.import_module(COMMANDS[name].module)
    if not hasattr(module, "add_arguments"):
        return int(module.main(argv) or OK)
    from brainfm.command_parser import command_parser

    return int(module.run(command_parser(name, module).parse_args(argv)) or OK)


def error_line(error: Exception) -> str:
    """Return what went wrong in one line."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.strerror}: {error.filename}"
    text = " ".join(str(error).split())
    if isinstance(error, ValueError) and "=" in text:
        from brainfm.read_arguments import spell_for_command_line

        return spell_for_command_line(text)
    if isinstance(error, ValueError | OSError | ImportError | RuntimeError) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _warning_line(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,
) -> str:
    """Format a warning as one line, without the path and source of whoever raised it."""
    return f"warning: {' '.join(str(message).split())}\n"


def _dispatch(argv: list[str]) -> int:
    """Run what ``argv`` asks for."""
    if not argv or argv[0] in ("-h", "--help"):
        print(usage(), end="", file=sys.stdout if argv else sys.stderr)
        return OK if argv else BAD_USAGE
    if argv[0] == "--version":
        from brainfm import __version__

        print(f"brainfm {__version__}")
        return OK
    name = argv[0]
    if name not in COMMANDS:
        from difflib import get_close_matches

        near = get_close_matches(name, COMMANDS, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else "."
        what = "option" if name.startswith("-") else "command"
        print(f"brainfm: unknown {what} '{name}'{hint} See 'brainfm --help'.", file=sys.stderr)
        return BAD_USAGE
    for key, value in ENVIRONMENT.items():
        os.environ.setdefault(key, value)
    # Settings name classes of the user's own, in modules beside them; last, so they shadow nothing.
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    return run_command(name, argv[1:])


def main(argv: list[str] | None = None) -> int:
    """Dispatch ``brainfm COMMAND ...``.

    Returns
    -------
    int
        0 on success, 1 on failure with one line on stderr, 2 on bad usage, 130 when interrupted.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in argv or os.environ.get("BRAINFM_DEBUG", "0") not in ("", "0")
    argv = [word for word in argv if word != "--debug"]
    who = f"brainfm {argv[0]}" if argv and argv[0] in COMMANDS else "brainfm"
    formatwarning = warnings.formatwarning
    try:
        if not debug:
            warnings.formatwarning = _warning_line
        status = _dispatch(argv)
        sys.stdout.flush()
        return status
    except SystemExit as stop:
        if isinstance(stop.code, str):
            print(f"{who}: {stop.code}", file=sys.stderr)
            return FAILED
        return int(stop.code or OK)
    except KeyboardInterrupt:
        print(f"{who}: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) has gone: Python's own flush at exit must not complain either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:
        if debug:
            raise
        print(f"{who}: {error_line(error)} (--debug shows where)", file=sys.stderr)
        return FAILED
    finally:
        warnings.formatwarning = formatwarning


if __name__ == "__main__":
    sys.exit(main())
