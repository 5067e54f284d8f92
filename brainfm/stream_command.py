"""Codes and features of a recording that is still going on, a line of JSON for every step.

A line holds ``time`` (seconds, end of the newest frame), ``frames``, ``segment``, the mean over
frames and sources of the features (``features``) and what happened to the signal (``events``). With
--out all codes are kept in one file as well. Filters that only look back prepare the signal; the
first seconds calibrate channels and scale. Decisions of a head: :mod:`brainfm.stream_head`.

Examples::

    brainfm stream checkpoints/nano --file recording.fif --speed 10
    brainfm stream checkpoints/nano --lsl MyAmplifier --montage standard_1005 --seconds 60
"""

import json
import sys
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jsonargparse import ArgumentParser, Namespace

from brainfm.read_arguments import add_read_options, read_options

if TYPE_CHECKING:
    from brainfm.stream import StreamOutput
    from brainfm.stream_messages import Block


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "checkpoint",
        type=str,
        help="Folder that 'brainfm export' made, OWNER/NAME on the hub, or a published model.",
    )
    parser.add_argument("--file", type=Path, help="Recording to play.")
    parser.add_argument("--lsl", type=str, help="Name of an LSL stream; needs mne-lsl.")
    parser.add_argument("--lsl-source-id", type=str, help="Its device, where names are not unique.")
    parser.add_argument(
        "--speed", type=float, default=1.0, help="Of a file: 1 is real time, 0 as fast as it goes."
    )
    parser.add_argument("--block", type=float, default=0.08, help="Length of a block, s.")
    parser.add_argument("--seconds", type=float, help="Stop after so much signal, s.")
    parser.add_argument("--calibration", type=float, default=20.0, help="First seconds that judge.")
    parser.add_argument(
        "--layer",
        type=int | Literal["mixture", "none"],
        default=-2,
        help="Of the masked model, as in 'brainfm encode'; 'none': codes only.",
    )
    parser.add_argument(
        "--step", type=int | None, help="Frames between two calls of the masked model."
    )
    parser.add_argument("--out", type=Path, help="Codes and times of all frames, .npz, at the end.")
    parser.add_argument("--device", type=str, default="cpu", help="'cpu', 'cuda' or 'cuda:N'.")
    add_read_options(parser)


def run(args: Namespace) -> int:
    """Encode until the source ends, --seconds are over or the user interrupts."""
    from brainfm.encoder import Encoder
    from brainfm.recordings import read_recording
    from brainfm.stream import BrainStream, StreamConfig
    from brainfm.stream_sources import LslConfig, LslSource, played

    if (args.file is None) == (args.lsl is None):
        raise ValueError("give one of --file and --lsl")
    if args.speed < 0:
        raise ValueError(f"--speed must be at least 0, got {args.speed:g}")
    encoder = Encoder.from_pretrained(args.checkpoint).to(args.device)
    settings = StreamConfig(
        calibration_s=args.calibration,
        layer=None if args.layer == "none" else args.layer,
        step=args.step,
    )
    if args.file is not None:
        recording = read_recording(args.file, read_options(args))
        sensors, sfreq = recording.sensors, recording.sfreq
        blocks = played(recording, block_s=args.block, speed=args.speed or None)
    else:
        found = LslConfig(name=args.lsl, source_id=args.lsl_source_id, block_s=args.block)
        source = LslSource(found, read_options(args))
        sensors, sfreq, blocks = source.sensors, source.sfreq, source.blocks()
    stream = BrainStream(encoder, sensors, sfreq, settings)
    kept: list[StreamOutput] = []
    try:
        for output in stream.run(_until(blocks, args.seconds, sfreq)):
            print(line(output), flush=True)
            if args.out is not None:
                kept.append(output._replace(features=None))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
    if args.out is not None and kept:
        _save(kept, args.out)
    told = {key: value for key, value in vars(stream.report).items() if value}
    print("; ".join(f"{key} {value:g}" for key, value in told.items()), file=sys.stderr)
    return 0


def line(output: "StreamOutput") -> str:
    """Return an output as one line of JSON."""
    said: dict[str, Any] = {"segment": output.segment, "frames": len(output.codes)}
    if len(output.times):
        said["time"] = round(float(output.times[-1]), 4)
    if output.features is not None:
        mean = output.features.values.mean(axis=(0, 1))
        said["features"] = [round(float(value), 5) for value in mean]
    if output.events:
        said["events"] = [
            {"time": round(e.time, 4), "kind": e.kind, "text": e.text} for e in output.events
        ]
    return json.dumps(said)


def _until(blocks: "Iterator[Block]", seconds: float | None, sfreq: float) -> "Iterator[Block]":
    """Yield blocks until so much signal has come."""
    left = float("inf") if seconds is None else seconds * sfreq

    def wanted(block: "Block") -> bool:
        nonlocal left
        had, left = left, left - block.values.shape[1]
        return had > 0

    return takewhile(wanted, blocks)


def _save(outputs: "list[StreamOutput]", path: Path) -> None:
    from brainfm.atomic import atomic_path

    segments = [np.full(len(output.codes), output.segment) for output in outputs]
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            codes=np.concatenate([output.codes for output in outputs]),
            times=np.concatenate([output.times for output in outputs]),
            segment=np.concatenate(segments),
        )
