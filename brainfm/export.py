"""Turn a training run into a checkpoint folder that loads without any trainer.

Examples::

    brainfm export runs/tokenizer --out checkpoints/tokenizer
    brainfm export runs/pretrain --out checkpoints/nano --which best

A checkpoint is the same single file whichever engine wrote it, on however many ranks.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser, Namespace

if TYPE_CHECKING:
    from brainfm.checkpoints import BrainModel


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("run", type=Path, help="Folder that '--out' of a training stage named.")
    parser.add_argument("--out", type=Path, required=True, help="Folder of the checkpoint.")
    parser.add_argument(
        "--which",
        type=str,
        default="last",
        help="'last', 'best' on validation, 'step-N' where the run kept it, or a file.",
    )


def run(args: Namespace) -> int:
    """Export a run and say where it went."""
    from brainfm.checkpoints import count_parameters

    model = export_run(args.run, args.out, which=args.which)
    print(f"checkpoint with {count_parameters(model) / 1e6:.2f} million parameters in {args.out}")
    return 0


def export_run(run: Path, out: Path, *, which: str = "last") -> "BrainModel":
    """Write the checkpoint folder of a run and return the model it holds.

    Raises
    ------
    FileNotFoundError, ValueError
        The folder holds no such checkpoint, or one that does not fit its own configuration.
    """
    from brainfm.checkpoints import (
        BrainModel,
        load_checkpoint,
        load_strictly,
        read_training_checkpoint,
        save_checkpoint,
    )
    from brainfm.run_checkpoints import CHECKPOINTS

    path = run / CHECKPOINTS / f"{which}.ckpt"
    if not path.exists():
        path = Path(which)
    if not path.is_file():
        there = ", ".join(sorted(p.stem for p in (run / CHECKPOINTS).glob("*.ckpt"))) or "none"
        raise FileNotFoundError(
            f"{run} holds no {CHECKPOINTS}/{which}.ckpt, and {which} is no file; checkpoints "
            f"there: {there}"
        )
    stage, record, weights = read_training_checkpoint(path)
    model = BrainModel(record)
    if stage == "tokenizer":
        own = {
            k.removeprefix("tokenizer."): v for k, v in weights.items() if k[:10] == "tokenizer."
        }
        load_strictly(model.tokenizer, own, str(path))
    else:
        assert model.masked_model is not None
        base = load_checkpoint(run / "tokenizer")
        model.tokenizer.load_state_dict(base.tokenizer.state_dict())
        own = {k.removeprefix("model."): v for k, v in weights.items() if k.startswith("model.")}
        load_strictly(model.masked_model, own, str(path))
    if not model.tokenizer.quantizer.initialised:
        raise ValueError(
            f"{path}: the codebooks have not been set yet; train past --model.quantize_after steps"
        )
    model.share_codes()
    save_checkpoint(model.eval(), out)
    return model
