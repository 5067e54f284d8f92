r"""Compute the codes of every recording of a corpus, once.

Training the masked model then reads a few hundred bytes a second of signal instead of running the
tokenizer again at every step. Run the same line again after an interruption, or when the corpus has
grown: it continues. Codes that are there count only if every byte is as it was written.

A recording that the tokenizer cannot take (sensors of a type it does not know, shorter than one of
its windows) is left out: it is named with the reason, here and in failures.tsv, and the exit status
is 1. The codes of all others are complete all the same.

Examples::

    brainfm codes corpus --tokenizer checkpoints/tokenizer --out codes
    brainfm codes corpus --tokenizer checkpoints/tokenizer --out codes --n-jobs 8
    brainfm codes corpus --tokenizer checkpoints/tokenizer --out codes --device cuda \
        --batch-windows 65536
"""

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("corpus", type=Path, help="Folder that 'brainfm prepare' made.")
    parser.add_argument(
        "--tokenizer", type=Path, required=True, help="Checkpoint folder or name (nano)."
    )
    parser.add_argument("--out", type=Path, required=True, help="Folder of the codes.")
    parser.add_argument("--device", type=str, default="cpu", help="'cpu', 'cuda' or 'cuda:N'.")
    parser.add_argument(
        "--n-jobs",
        type=int,
        default=1,
        help="Processes of one thread each, on a CPU only; -1: one per core.",
    )
    parser.add_argument(
        "--batch-windows",
        type=int,
        help="Channels x windows that go through the tokenizer at once, of short recordings several"
        " together: more memory, fuller devices. On a CPU it changes no code; elsewhere another"
        " value may decide near ties otherwise. Default: 1024.",
    )


def run(args: Namespace) -> int:
    """Compute what is missing; 1 if any recording is left out."""
    from brainfm.codes_run import make_codes
    from brainfm.window_codes import CHANNEL_WINDOWS

    return make_codes(
        args.corpus,
        args.tokenizer,
        args.out,
        device=args.device,
        n_jobs=args.n_jobs,
        channel_windows=CHANNEL_WINDOWS if args.batch_windows is None else args.batch_windows,
    )
