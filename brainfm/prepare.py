"""Turn recordings of any MNE format into a standardised corpus.

Every recording is read in blocks, cleaned, brought to 256 Hz and a scale near one, and stored
whole or not at all. Run the same line again after an interruption: it continues.

Examples::

    brainfm prepare subject1.fif subject2.edf --out corpus
    brainfm prepare 'data/**/*.bdf' --montage biosemi64 --line-freq 50 --n-jobs 8 --out corpus
    brainfm prepare --bids /data/ds000117 --dask tcp://scheduler:8786 --out corpus
    brainfm prepare --catalogue datasets.yaml --out corpus
"""

import dataclasses
import typing
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from brainfm.processing import ProcessingConfig
from brainfm.read_arguments import add_read_options, flag, parameter_docs, read_options
from brainfm.recordings import ReadOptions

PROCESS_GROUP = "processing (stored with the corpus; the same for all of it)"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("files", nargs="*", type=str, help="Recordings, globs or BIDS folders.")
    parser.add_argument("--out", type=Path, required=True, help="Folder of the corpus.")
    parser.add_argument("--bids", type=Path, help="Root of a BIDS data set to prepare whole.")
    parser.add_argument("--catalogue", type=Path, help="YAML file that lists data sets.")
    parser.add_argument("--root", type=Path, help="Folder that the catalogue's paths begin at.")
    parser.add_argument("--dataset", type=str, default="", help="Name of the data set.")
    parser.add_argument("--licence", type=str, default="", help="Its licence, kept in the index.")
    parser.add_argument(
        "--device", type=str, default="", help="Amplifier or MEG system, if the header is silent."
    )
    parser.add_argument("--n-jobs", type=int, default=1, help="Processes; -1: one per core.")
    parser.add_argument("--dask", type=str, help="Address of a Dask scheduler to work through.")
    parser.add_argument("--strict", action="store_true", help="Stop at the first failure.")
    parser.add_argument(
        "--redo-changed",
        action="store_true",
        help="Prepare again what changed since it was prepared.",
    )
    add_read_options(parser)
    processing = parser.add_argument_group(PROCESS_GROUP)
    hints = typing.get_type_hints(ProcessingConfig)
    for name, text in parameter_docs(ProcessingConfig).items():
        default = getattr(ProcessingConfig(), name)
        processing.add_argument(flag(name), type=hints[name], default=default, help=text)


def run(args: Namespace) -> int:
    """Prepare what the command line names; 1 if any recording failed."""
    from brainfm.bids_sources import bids_sources
    from brainfm.preparation_run import prepare_corpus
    from brainfm.sources import file_sources

    config = ProcessingConfig(
        **{f.name: args[f.name] for f in dataclasses.fields(ProcessingConfig)}
    )
    options = read_options(args)
    labels = {name: getattr(args, name) for name in ("dataset", "licence", "device")}
    named: dict[str, Any] = {**labels, "options": options}
    sources = file_sources(args.files, **named) if args.files else []
    if args.bids:
        sources += bids_sources(args.bids, **named)
    if args.catalogue:
        from brainfm.catalogue import catalogue_sources, read_catalogue

        if options != ReadOptions() or any(labels.values()):
            raise ValueError(
                f"options for reading, --dataset, --licence and --device belong into "
                f"{args.catalogue}, each by its data set, not on the command line"
            )
        sources += catalogue_sources(read_catalogue(args.catalogue, root=args.root))
    if not sources:
        raise ValueError("nothing to prepare: give files, --bids DIR or --catalogue FILE")
    return prepare_corpus(
        args.out,
        sources,
        config,
        n_jobs=args.n_jobs,
        dask=args.dask,
        strict=args.strict,
        redo_changed=args.redo_changed,
    )
