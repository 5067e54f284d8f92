"""Turn a training run into a checkpoint folder that loads without any trainer.

Examples::

    brainfm export runs/tokenizer --out checkpoints/tokenizer
    brainfm export runs/pretrain --out checkpoints/nano --which best

A checkpoint is the same single file whichever engine wrote it, on however many ranks.
"""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser, Namespace

if TYPE_CHECKING:
    from brainfm.checkpoints import BrainModel

TOKENIZER = "tokenizer"
"""Checkpoint folder that a run of pretraining keeps."""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "run",
        type=Path,
        help="Folder that '--out' of a training stage named; of a graph also a checkpoint.",
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="Folder of the checkpoint; file of a graph."
    )
    parser.add_argument(
        "--which",
        type=str,
        default="last",
        help="'last', 'best' on validation, 'step-N' where the run kept it, or a file.",
    )
    parser.add_argument(
        "--split",
        nargs="+",
        type=Path,
        default=[],
        metavar="FILE",
        help="split.json that a stage was trained by, where an older run does not keep it itself.",
    )
    parser.add_argument(
        "--fidelity",
        type=Path,
        metavar="DIR",
        help="What 'brainfm tokenizer card' made of this tokenizer: its figures go into the card.",
    )
    parser.add_argument(
        "--section",
        nargs="+",
        type=Path,
        default=[],
        metavar="FILE",
        help="Markdown with further sections of the model card: results, commands, sources.",
    )


def run(args: Namespace) -> int:
    """Export a run and say where it went."""
    from brainfm.checkpoints import count_parameters
    from brainfm.pretraining_splits import missing_splits

    model = export_run(
        args.run,
        args.out,
        which=args.which,
        splits=args.split,
        fidelity=args.fidelity,
        sections=args.section,
    )
    for line in missing_splits(model.record.training, model.splits):
        print(
            f"warning: {line}, which the run does not keep; name its file: --split", file=sys.stderr
        )
    print(f"checkpoint with {count_parameters(model) / 1e6:.2f} million parameters in {args.out}")
    return 0


def export_run(
    run: Path,
    out: Path,
    *,
    which: str = "last",
    splits: Sequence[Path] = (),
    fidelity: Path | None = None,
    sections: Sequence[Path] = (),
) -> "BrainModel":
    """Write the checkpoint folder of a run and return the model it holds.

    Parameters
    ----------
    run
        Folder of a training stage.
    out
        Folder of the checkpoint.
    which
        As of the command.
    splits
        Manifests that the run does not keep; later runs do.
    fidelity
        Fidelity card of the same tokenizer, or its folder.
    sections
        Markdown files that become sections of the model card.

    Raises
    ------
    FileNotFoundError, ValueError
        The folder holds no such checkpoint, or one that does not fit its own configuration.
    """
    from brainfm.checkpoints import BrainModel, codes_digest, load_checkpoint, save_checkpoint
    from brainfm.fidelity_summary import fidelity_summary
    from brainfm.pretraining_splits import collect_splits
    from brainfm.run_checkpoints import CHECKPOINTS
    from brainfm.splits import Split
    from brainfm.strict_loading import load_strictly
    from brainfm.torch_files import read_training_checkpoint

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
    given = [Split.load(file) for file in splits]
    model = BrainModel(record, collect_splits(record.training, (run, run / TOKENIZER), given))
    if stage == "tokenizer":
        own = {
            k.removeprefix("tokenizer."): v for k, v in weights.items() if k[:10] == "tokenizer."
        }
        load_strictly(model.tokenizer, own, str(path))
    else:
        assert model.masked_model is not None
        base = load_checkpoint(run / TOKENIZER)
        model.tokenizer.load_state_dict(base.tokenizer.state_dict())
        own = {k.removeprefix("model."): v for k, v in weights.items() if k.startswith("model.")}
        load_strictly(model.masked_model, own, str(path))
    if not model.tokenizer.quantizer.initialised:
        raise ValueError(
            f"{path}: the codebooks have not been set yet; train past --model.quantize_after steps"
        )
    model.share_codes()
    if fidelity is not None:
        digest = codes_digest(model.tokenizer, record.input_contract)
        model.record = replace(record, fidelity=fidelity_summary(fidelity, digest))
    if sections:
        texts = tuple(path.read_text(encoding="utf-8") for path in sections)
        model.record = replace(model.record, sections=texts)
    save_checkpoint(model.eval(), out)
    return model
