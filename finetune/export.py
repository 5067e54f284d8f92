"""Turn a run into a checkpoint folder that loads without any trainer, or a model into a graph.

A checkpoint is the same single file whichever engine wrote it, on however many ranks. Of a
fine-tuning run it is the tuned encoder, matrices of LoRA merged into its weights.

A graph (--format onnx or torch) runs without brainfm's models: of a checkpoint or training run it
gives codes and features, of a fine-tuning run what its head says of a trial. It starts from the
prepared signal; 'brainfm.exported.ExportedModel(FILE)' prepares recordings and runs it.

Examples::

    brainfm export runs/tokenizer --out checkpoints/tokenizer
    brainfm export runs/pretrain --out checkpoints/nano --which best
    brainfm export runs/motor --fold 2 --out checkpoints/motor
    brainfm export checkpoints/nano --format onnx --int8 --out nano.onnx
    brainfm export runs/motor --fold 2 --format onnx --out motor.onnx
"""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from jsonargparse import ArgumentParser, Namespace

from brainfm import export

from .run_record import RUN_FILE

if TYPE_CHECKING:
    from brainfm.checkpoints import BrainModel

NOT_OF_TUNED = ("split", "fidelity", "section")
"""Options of training runs that a fine-tuning run does not have."""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's options."""
    export.add_arguments(parser)
    parser.add_argument(
        "--format",
        type=Literal["checkpoint", "onnx", "torch"],
        default="checkpoint",
        help="'checkpoint': a folder; 'onnx': a graph for onnxruntime; 'torch': one for "
        "torch.export.load, .pt2.",
    )
    parser.add_argument(
        "--fold", type=int, help="Of a fine-tuning run: which fold, from 0 (default: 0)."
    )
    parser.add_argument(
        "--layer",
        type=int | Literal["mixture"],
        help="Of an encoder's graph: the layer that features are from, as 'brainfm encode' has it "
        "(default: -2).",
    )
    parser.add_argument(
        "--int8", action="store_true", help="Of ONNX: weights of the masked model in 8 bits."
    )


def run(args: Namespace) -> int:
    """Export and say where it went."""
    tuned = (args.run / RUN_FILE).is_file()
    if args.fold is not None and not tuned:
        raise ValueError(f"{args.run} is no fine-tuning run and has no folds; leave --fold out")
    if args.int8 and args.format != "onnx":
        raise ValueError("8 bits are a setting of graphs; give --format onnx or leave --int8 out")
    if args.layer is not None and (tuned or args.format == "checkpoint"):
        raise ValueError("a layer is chosen for the graph of an encoder; leave --layer out")
    if args.format != "checkpoint":
        return _write_graph(args, tuned)
    if not tuned:
        return export.run(args)
    from brainfm.checkpoints import count_parameters

    from .adapted_checkpoint import export_adapted

    given = [name for name in NOT_OF_TUNED if getattr(args, name, None)]
    if given:
        raise ValueError(
            f"a fine-tuning run has its own splits and no card; leave --{given[0]} out"
        )
    model = export_adapted(args.run, args.out, fold=args.fold or 0)
    what = "tokenizer" if model.masked_model is None else "encoder"
    print(f"tuned {what} with {count_parameters(model) / 1e6:.2f} million parameters in {args.out}")
    return 0


def _write_graph(args: Namespace, tuned: bool) -> int:
    from brainfm.exported_file import write_graph
    from brainfm.exported_graph import EncoderGraph

    from .decoder import load_decoder
    from .decoder_graph import DecoderGraph

    if args.out.is_dir():
        raise ValueError(f"{args.out} is a folder; --out must be a file for --format {args.format}")
    graph: EncoderGraph | DecoderGraph
    if tuned:
        graph = DecoderGraph(load_decoder(args.run, args.fold or 0))
    else:
        graph = EncoderGraph(_model(args).eval(), -2 if args.layer is None else args.layer)
    record = graph.record
    args.out.parent.mkdir(parents=True, exist_ok=True)
    write_graph(graph, graph.example(), record, args.out, kind=args.format, int8=args.int8)
    size = args.out.stat().st_size / 1e6
    print(f"{record.kind} ({', '.join(record.outputs)}) of {size:.2f} MB in {args.out}")
    return 0


def _model(args: Namespace) -> "BrainModel":
    """Return the model of a training run or checkpoint."""
    from tempfile import TemporaryDirectory

    from brainfm.checkpoints import load_checkpoint
    from brainfm.hub import find_checkpoint
    from brainfm.run_checkpoints import CHECKPOINTS

    if not (args.run / CHECKPOINTS).is_dir():
        return load_checkpoint(find_checkpoint(str(args.run)))
    with TemporaryDirectory() as folder:
        return export.export_run(args.run, Path(folder), which=args.which)
