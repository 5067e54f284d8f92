r"""Codes, features and decisions of a recording that is still going on, a line of JSON a step.

A line holds ``time`` (seconds, centre of the newest frame), ``frames``, ``segment``, the mean over
frames and sources of the features (``features``), what the head says (``decisions``) and what
happened to the signal (``events``). Filters that only look back prepare the signal and its first
seconds calibrate channels and scale: codes are those of the finished recording prepared in the same
way, not those of 'brainfm encode', whose filters look ahead too.

--head takes a run of 'brainfm finetune fit': it judges the newest stretch, as long as a trial, as
it would judge the same prepared stretch offline. With labels, from --events of a played file or a
stream of --markers, --recalibrate fits its readout anew to the day's signal. --out keeps everything
in a folder of small files, of which a kill loses the last seconds; brainfm.stream_record reads it.

Examples::

    brainfm stream nano --file recording.fif --speed 10
    brainfm stream nano --lsl MyAmplifier --montage standard_1005 --out session
    brainfm stream nano --lsl MyAmplifier --head runs/mine --every 0.25
    brainfm stream nano --file today.edf --events annotations --head runs/mine \
        --recalibrate 180
"""

import importlib
import json
import sys
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from jsonargparse import ArgumentParser, Namespace

from brainfm.read_arguments import add_read_options, read_options

if TYPE_CHECKING:
    from brainfm.sensors import SensorArray
    from brainfm.stream import BrainStream, StreamOutput
    from brainfm.stream_decisions import SignalHead
    from brainfm.stream_messages import Block
    from brainfm.stream_record import StreamRecord

HEADS = "brainfm.finetune.stream_decision"
"""Module whose ``StreamDecision.of_run`` makes a head of a run; by name, as commands are: the
library knows no stage."""
ANNOTATIONS = "annotations"


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
        "--give-up", type=float, default=60.0, help="End when the LSL stream stays away so long, s."
    )
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
    parser.add_argument("--head", type=Path, help="Run of 'brainfm finetune fit' that decides.")
    parser.add_argument("--fold", type=int, default=0, help="Its fold.")
    parser.add_argument("--every", type=float, default=0.5, help="Seconds between decisions.")
    parser.add_argument(
        "--events",
        type=str,
        help=f"Labels of a played file: a table (onset in s, trial_type), or '{ANNOTATIONS}'.",
    )
    parser.add_argument("--markers", type=str, help="Name of an LSL stream of markers (texts).")
    parser.add_argument(
        "--recalibrate",
        type=float,
        help="Fit the head's readout to the labels of so much signal, s, then go on.",
    )
    parser.add_argument("--out", type=Path, help="New folder for codes, decisions and events.")
    parser.add_argument("--keep-features", action="store_true", help="Put features into --out too.")
    parser.add_argument("--piece", type=float, default=10.0, help="Length of a file of --out, s.")
    parser.add_argument("--device", type=str, default="cpu", help="'cpu', 'cuda' or 'cuda:N'.")
    add_read_options(parser)


def run(args: Namespace) -> int:
    """Encode until the source ends, --seconds are over or the user interrupts."""
    from brainfm.encoder import Encoder
    from brainfm.stream import BrainStream, StreamConfig

    _check(args)
    encoder = Encoder.from_pretrained(args.checkpoint).to(args.device)
    settings = StreamConfig(
        calibration_s=args.calibration,
        layer=None if args.layer == "none" else args.layer,
        step=args.step,
    )
    sensors, sfreq, blocks = _source(args)
    stream = BrainStream(encoder, sensors, sfreq, settings, head=_head(args))
    record = _record(args, stream)
    try:
        for output in _outputs(stream, _until(blocks, args.seconds, sfreq), args.recalibrate):
            _say(output, stream, record)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        for output in stream.finish():
            _say(output, stream, record)
    finally:
        if record is not None:
            record.flush()
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
    if output.decisions:
        said["decisions"] = [
            {"time": round(decision.time, 4), "value": decision.value}
            for decision in output.decisions
        ]
    if output.events:
        said["events"] = [
            {"time": round(e.time, 4), "kind": e.kind, "text": e.text} for e in output.events
        ]
    return json.dumps(said)


def _check(args: Namespace) -> None:
    """Raise ValueError where options do not fit together."""
    if (args.file is None) == (args.lsl is None):
        raise ValueError("give one of --file and --lsl")
    if args.speed < 0:
        raise ValueError(f"--speed must be at least 0, got {args.speed:g}")
    if args.events is not None and args.file is None:
        raise ValueError("--events are those of a played --file; an LSL stream has --markers")
    if args.markers is not None and args.lsl is None:
        raise ValueError("--markers go with --lsl; a played file has --events")
    if args.recalibrate is None:
        return
    if args.head is None or (args.events is None and args.markers is None):
        raise ValueError("--recalibrate needs a --head and labels: --events or --markers")
    if not args.recalibrate > 0:
        raise ValueError(f"--recalibrate must be above 0 s, got {args.recalibrate:g}")


def _source(args: Namespace) -> "tuple[SensorArray, float, Iterator[Block]]":
    """Return sensors, rate and blocks, with their labels."""
    from brainfm.recordings import read_recording
    from brainfm.stream_markers import LslMarkers, with_events, with_markers
    from brainfm.stream_sources import LslConfig, LslSource, played

    if args.file is None:
        found = LslConfig(
            name=args.lsl,
            source_id=args.lsl_source_id,
            block_s=args.block,
            give_up_s=args.give_up,
        )
        source = LslSource(found, read_options(args))
        blocks = source.blocks()
        if args.markers is not None:
            blocks = with_markers(blocks, LslMarkers(args.markers, args.give_up).pull)
        return source.sensors, source.sfreq, blocks
    from brainfm.event_tables import events_from_table
    from brainfm.trial_events import events_from_annotations

    recording = read_recording(args.file, read_options(args))
    blocks = played(recording, block_s=args.block, speed=args.speed or None)
    if args.events == ANNOTATIONS:
        blocks = with_events(
            blocks, events_from_annotations(recording.annotations), recording.sfreq
        )
    elif args.events is not None:
        blocks = with_events(blocks, events_from_table(args.events), recording.sfreq)
    return recording.sensors, recording.sfreq, blocks


def _head(args: Namespace) -> "SignalHead | None":
    if args.head is None:
        return None
    found: SignalHead = importlib.import_module(HEADS).StreamDecision.of_run(
        args.head, args.fold, every_s=args.every, device=args.device
    )
    return found


def _record(args: Namespace, stream: "BrainStream") -> "StreamRecord | None":
    if args.out is None:
        return None
    from brainfm.stream_record import StreamRecord

    about = {
        "checkpoint": str(args.checkpoint),
        "head": None if args.head is None else str(args.head),
        "source": str(args.file or args.lsl),
        "channels": list(stream.sensors.names),
        "sfreq": stream.sfreq,
    }
    return StreamRecord(args.out, piece_s=args.piece, features=args.keep_features, about=about)


def _outputs(
    stream: "BrainStream", blocks: "Iterator[Block]", recalibrate: float | None
) -> "Iterator[StreamOutput]":
    """Yield what blocks complete; refit the head once its labels are there."""
    due = float("inf") if recalibrate is None else recalibrate
    for block in blocks:
        yield from stream.push(block)
        if stream.report.n_samples / stream.sfreq >= due:
            try:
                stream.recalibrate()
                due = float("inf")
            except ValueError as error:  # labels may still come
                print(f"not recalibrated: {error}", file=sys.stderr)
                due += recalibrate or 0.0
    yield from stream.finish()


def _say(output: "StreamOutput", stream: "BrainStream", record: "StreamRecord | None") -> None:
    from brainfm.code_times import seconds_per_frame

    print(line(output), flush=True)
    if record is not None:
        record.add(output, seconds=seconds_per_frame(stream.encoder.model.tokenizer.cfg))


def _until(blocks: "Iterator[Block]", seconds: float | None, sfreq: float) -> "Iterator[Block]":
    """Yield blocks until so much signal has come."""
    left = float("inf") if seconds is None else seconds * sfreq

    def wanted(block: "Block") -> bool:
        nonlocal left
        had, left = left, left - block.values.shape[1]
        return had > 0

    return takewhile(wanted, blocks)
