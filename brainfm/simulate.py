"""Make synthetic EEG and MEG of many people, with a known response to real stimuli.

Spherical heads that differ from person to person, dipoles that answer to sounds, pictures or
nothing but their own rhythm (with BOLD that follows), noise that is coherent in space and 1/f in
time, mains, blinks and heartbeats. What was planted is written beside the recordings. Everything
made says that it is synthetic.

Examples::

    brainfm simulate --audio speech/*.wav --subjects 4 --snr -20 --out synthetic
    brainfm simulate --audio speech/*.wav --null --jitter 0.5 --out synthetic-null
    brainfm simulate --audio a.wav --montage standard_1005 --channels Fz Cz Pz T7 T8 --out five
    brainfm simulate --image-features clip.npy --meg neuromag --soa 0.5 --out synthetic-meg
    brainfm simulate --bold-rois 6 --duration 600 --out synthetic-bold
"""

import dataclasses
import math
import typing
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from brainfm.read_arguments import flag, parameter_docs
from brainfm.simulation_config import SimulationConfig


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--out", type=Path, required=True, help="New folder of the data set.")
    parser.add_argument(
        "--audio",
        nargs="+",
        type=Path,
        default=[],
        help="WAV files to play, in a random order, again when all were heard. NAME.words.tsv "
        "beside NAME.wav (columns onset, duration, text; s) tells its words.",
    )
    parser.add_argument(
        "--image-features",
        type=Path,
        help="Table (pictures, features) in an .npy file: the pictures to show.",
    )
    parser.add_argument(
        "--channels", nargs="+", type=str, default=[], help="Electrodes of the montage to keep."
    )
    hints = typing.get_type_hints(SimulationConfig)
    for name, text in parameter_docs(SimulationConfig).items():
        default = getattr(SimulationConfig(), name)
        if hints[name] is bool:
            parser.add_argument(flag(name), action="store_true", help=text)
        else:
            parser.add_argument(flag(name), type=hints[name], default=default, help=text)


def run(args: Namespace) -> int:
    """Simulate what the command line asks for."""
    from brainfm.simulation_run import simulate_dataset

    fields = dataclasses.fields(SimulationConfig)
    cfg = SimulationConfig(**{field.name: args[field.name] for field in fields})
    made = simulate_dataset(
        args.out,
        cfg,
        audio=args.audio,
        images=args.image_features,
        channels=args.channels,
    )
    if args.audio:
        print(f"a recording plays every sound {made.repeats:.3g} times (synthetic listeners)")
        if not cfg.jitter:
            print("the time until the next sound tells how long one is (--jitter 0.5 hides it)")
    ratios = ", ".join(
        f"{kind} {value:.1f} dB" if math.isfinite(value) else f"{kind} nothing planted"
        for kind, value in made.snr.items()
    )
    print(f"signal to noise, {cfg.snr_low:g} to {cfg.snr_high:g} Hz: {ratios}")
    print(f"{len(made.recordings)} synthetic recordings, with their truth, in {args.out}")
    return 0
