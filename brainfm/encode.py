"""Write features and codes of recordings to HDF5.

The file holds ``values`` (frames, sources, width) float32, ``times`` (frames,) seconds from the
first sample and ``codes`` (frames, sources, levels) uint16. A file of epochs adds a leading axis.

Examples::

    brainfm encode checkpoints/nano subject1.fif --out features.h5
    brainfm encode checkpoints/nano old.edf --montage standard_1020 --unit uV --out features.h5
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jsonargparse import ArgumentParser, Namespace

from brainfm.read_arguments import add_read_options, read_options

if TYPE_CHECKING:
    import h5py

    from brainfm.encoder import Encoder, Layer
    from brainfm.recordings import Recording


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "checkpoint",
        type=str,
        help="Folder that 'brainfm export' made, OWNER/NAME on the hub, or a published model: "
        "brainomni-tiny, brainomni-base, braintokenizer.",
    )
    parser.add_argument("file", type=Path, help="Recording in any format MNE reads.")
    parser.add_argument("--out", type=Path, required=True, help="HDF5 file to write.")
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
    """Encode one file."""
    from brainfm.encoder import Encoder, recordings_of

    recordings, are_epochs = recordings_of(args.file, read_options(args))
    encoder = Encoder.from_pretrained(args.checkpoint).to(args.device)
    shape = write_features(encoder, recordings, args.out, layer=args.layer, stacked=are_epochs)
    what = "epochs, frames" if are_epochs else "frames"
    print(f"features ({what}, sources, width) = {shape} in {args.out}")
    return 0


def write_features(
    encoder: "Encoder",
    recordings: list["Recording"],
    path: Path,
    *,
    layer: "Layer" = -2,
    stacked: bool = False,
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
    layer
        Of the masked model.
    stacked
        Write a leading axis of epochs.

    Returns
    -------
    tuple of int
        Shape of the features.
    """
    import h5py

    from brainfm.atomic import atomic_path
    from brainfm.progress import track

    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        for index, recording in enumerate(track(recordings, "encode", unit="recordings")):
            frames = 0
            for block in _blocks(encoder, recording, layer):
                for name, value in block.items():
                    lead = (len(recordings),) if stacked else ()
                    _write(file, name, value, index, frames, lead)
                frames += len(block["times"])
        file.attrs["source"] = recordings[0].source.rsplit("/", 1)[-1]
        file.attrs["layer"] = layer
        return tuple(file["values"].shape)


def _blocks(
    encoder: "Encoder", recording: "Recording", layer: "Layer"
) -> Iterator[dict[str, np.ndarray[Any, Any]]]:
    processed = encoder.process(recording)
    for features, codes in encoder.feature_blocks(processed, layer=layer):
        yield {"values": features.values, "times": features.times, "codes": codes}


def _write(
    file: "h5py.File",
    name: str,
    value: np.ndarray[Any, Any],
    index: int,
    first: int,
    lead: tuple[int, ...],
) -> None:
    """Append ``value`` along frames; times are the same for all epochs and kept once."""
    if name == "times":
        lead = ()
    axis = len(lead)
    if name not in file:
        shape = (*lead, 0, *value.shape[1:])
        limit = (*lead, None, *value.shape[1:])
        file.create_dataset(name, shape, maxshape=limit, dtype=value.dtype, chunks=True)
    stop = first + len(value)
    if file[name].shape[axis] < stop:
        file[name].resize(stop, axis=axis)
    place = (index, slice(first, stop)) if lead else slice(first, stop)
    file[name][place] = value
