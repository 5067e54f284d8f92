"""Write features and codes of recordings to HDF5.

The file holds ``values`` (frames, sources, width) float32, ``times`` (frames,) seconds from the
first sample and ``codes`` (frames, sources, levels) uint16. A file of epochs adds a leading axis.
Several recordings, globs, BIDS data sets and other folders (all recordings below them) become one
file each in the folder OUT; run the same line again after an interruption: it continues. Memory
does not grow with the length of a recording. One recording, or one file of epochs, may become
MNE's Raw or Epochs instead (--format fif).

Examples::

    brainfm encode nano subject1.fif --out features.h5    # the bundled model
    brainfm encode nano old.edf --montage standard_1020 --unit uV --out features.h5
    brainfm encode nano 'data/**/*.edf' --n-jobs 4 --out features
    brainfm encode nano data/recordings --n-jobs 4 --out features
    brainfm encode nano trials-epo.fif --format fif --out features-epo.fif
    brainfm encode nano data/ds000117 --what codes --out codes
"""

from collections.abc import Iterator
from dataclasses import dataclass
from glob import has_magic
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jsonargparse import ArgumentParser, Namespace

from brainfm.read_arguments import add_read_options, read_options

if TYPE_CHECKING:
    from brainfm.channels import ReadOptions
    from brainfm.encoder import Encoder, Layer
    from brainfm.recordings import Recording


@dataclass(frozen=True, kw_only=True)
class EncodeSettings:
    """What is written of a recording.

    Parameters
    ----------
    layer
        Of the masked model, see :meth:`brainfm.encoder.Encoder.encode`.
    what
        "features", with the codes they are from, or "codes".
    pool
        "sources": the mean of the features over sources.
    """

    layer: "Layer" = -2
    what: Literal["features", "codes"] = "features"
    pool: Literal["none", "sources"] = "none"

    def __post_init__(self) -> None:
        for name, choices in (("what", ("features", "codes")), ("pool", ("none", "sources"))):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {choices}, got {getattr(self, name)!r}")
        if self.what == "codes" and self.pool != "none":
            raise ValueError("pool must be 'none' where only codes are written")


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "checkpoint",
        type=str,
        help="nano, the bundled model; a folder that 'brainfm export' made, OWNER/NAME on the hub, "
        "or a published model: brainomni-tiny, brainomni-base, braintokenizer.",
    )
    parser.add_argument(
        "files",
        nargs="+",
        type=str,
        help="Recordings in any format MNE reads, globs, folders, BIDS data sets.",
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="File to write; of several files, a folder."
    )
    parser.add_argument(
        "--format",
        type=Literal["hdf5", "fif"],
        default="hdf5",
        help="'fif': MNE's Raw of a recording, Epochs of epochs; features alone, times to half a "
        "frame.",
    )
    parser.add_argument(
        "--what",
        type=Literal["features", "codes"],
        default="features",
        help="'features': these and the codes; 'codes': all that a tokenizer alone gives.",
    )
    parser.add_argument(
        "--pool",
        type=Literal["none", "sources"],
        default="none",
        help="'sources': the mean over sources, values (frames, width).",
    )
    parser.add_argument(
        "--n-jobs", type=int, default=1, help="Files at once, in processes; -1: one per core."
    )
    parser.add_argument(
        "--layer",
        type=int | Literal["mixture"],
        default=-2,
        help="0: input of the masked model; -1: its last block; -2: the block before; 'mixture': "
        "the mean of all.",
    )
    parser.add_argument("--device", type=str, default="cpu", help="'cpu', 'cuda' or 'cuda:N'.")
    add_read_options(parser)


def run(args: Namespace) -> int:
    """Encode one file, or several into a folder; 1 if any of those failed."""
    from brainfm.encode_many import encode_many
    from brainfm.sources import file_sources

    options = read_options(args)
    settings = EncodeSettings(layer=args.layer, what=args.what, pool=args.pool)
    if len(args.files) == 1 and is_one_file(args.files[0]):
        return (_run_mne if args.format == "fif" else _run_one)(args, options, settings)
    if args.format == "fif":
        raise ValueError("--format fif writes the features of one file; several become HDF5")
    sources = file_sources(_named(args.files), options=options)
    if args.out.suffix in (".h5", ".hdf5"):
        raise ValueError(f"--out must be a folder for several recordings, got {args.out}")
    return encode_many(
        args.checkpoint,
        sources,
        args.out,
        settings,
        n_jobs=args.n_jobs,
        device=args.device,
    )


def is_one_file(name: str) -> bool:
    """Tell whether an argument is one recording, not a glob or a data set."""
    from brainfm.sources import BIDS_DESCRIPTION, is_plain_folder

    path = Path(name)
    if not path.exists():
        return not has_magic(name)
    return not (is_plain_folder(path) or (path / BIDS_DESCRIPTION).exists())


def _named(files: list[str]) -> list[str]:
    """Return arguments with the recordings below each folder in its place."""
    from brainfm.recording_folders import recordings_below
    from brainfm.sources import is_plain_folder

    found: list[str] = []
    for name in files:
        plain = is_plain_folder(Path(name))
        found += map(str, recordings_below(name)) if plain else [name]
    return found


def _run_mne(args: Namespace, options: "ReadOptions", settings: EncodeSettings) -> int:
    from brainfm.encode_mne import write_mne_features
    from brainfm.encoder import Encoder

    if args.out.suffix != ".fif" or settings.what == "codes":
        raise ValueError(
            "--format fif writes features to a file whose name ends in .fif, of Epochs in -epo.fif"
        )
    said = write_mne_features(
        Encoder.from_pretrained(args.checkpoint).to(args.device),
        Path(args.files[0]),
        args.out,
        options,
        layer=settings.layer,
        pooled=settings.pool == "sources",
    )
    print(f"features as {said}")
    return 0


def _run_one(args: Namespace, options: "ReadOptions", settings: EncodeSettings) -> int:
    from brainfm.encoder import Encoder
    from brainfm.given_recordings import recordings_of

    recordings, are_epochs = recordings_of(Path(args.files[0]), options)
    encoder = Encoder.from_pretrained(args.checkpoint).to(args.device)
    shape = write_features(encoder, recordings, args.out, settings, stacked=are_epochs)
    axes = ["frames", "sources", "levels" if args.what == "codes" else "width"]
    if args.what == "features" and args.pool == "sources":
        axes.remove("sources")
    what = ", ".join(["epochs", *axes] if are_epochs else axes)
    print(f"{args.what} ({what}) = {shape} in {args.out}")
    return 0


def write_features(
    encoder: "Encoder",
    recordings: list["Recording"],
    path: Path,
    settings: EncodeSettings | None = None,
    *,
    stacked: bool = False,
    made_of: str = "",
    progress: bool = True,
) -> tuple[int, ...]:
    """Encode recordings into one file, written as a whole or not at all.

    Parameters
    ----------
    encoder
        The model.
    recordings
        One, or the epochs of one, which have the same length.
    path
        HDF5 file.
    settings
        What to write.
    stacked
        Write a leading axis of epochs.
    made_of
        Kept as an attribute: a hash of model, recording and settings.
    progress
        Show a bar.

    Returns
    -------
    tuple of int
        Shape of the features, or of the codes.
    """
    import h5py

    from brainfm.atomic import atomic_path
    from brainfm.feature_file import append, explain
    from brainfm.progress import track

    settings = settings or EncodeSettings()
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        shown = track(recordings, "encode", unit="recordings") if progress else recordings
        for index, recording in enumerate(shown):
            frames = 0
            for block in _blocks(encoder, recording, settings):
                for name, value in block.items():
                    lead = (len(recordings),) if stacked else ()
                    append(file, name, value, index, frames, lead)
                frames += len(block["times"])
        file.attrs["source"] = recordings[0].source.rsplit("/", 1)[-1]
        file.attrs["layer"] = settings.layer
        file.attrs["made_of"] = made_of
        explain(file, stacked)
        return tuple(file["codes" if settings.what == "codes" else "values"].shape)


def _blocks(
    encoder: "Encoder", recording: "Recording", settings: EncodeSettings
) -> Iterator[dict[str, np.ndarray[Any, Any]]]:
    from brainfm.code_times import frame_times

    processed = encoder.process(recording)
    if settings.what == "codes":
        begin = 0
        for codes in encoder.code_blocks(processed):
            end = begin + len(codes)
            yield {"times": frame_times(begin, end, encoder.model.tokenizer.cfg), "codes": codes}
            begin = end
        return
    for features, codes in encoder.feature_blocks(processed, layer=settings.layer):
        values = features.values.mean(axis=1) if settings.pool == "sources" else features.values
        yield {"values": values, "times": features.times, "codes": codes}
