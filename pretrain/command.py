r"""Train the masked model on codes (stage 2): hidden codes from the others.

``--config`` takes a YAML file or a bundled preset (nano, tiny, base); every setting in it can be
overridden on the command line. ``--print_config`` after ``fit`` shows all of them.

Example::

    brainfm pretrain fit --config nano --data.codes codes --data.split corpus/split.json \
        --out runs/pretrain
"""

from brainfm.stage_cli import run_stage

from .data import CodeData
from .module import MaskedModule


def main(argv: list[str]) -> int:
    """Run ``brainfm pretrain ...``."""
    return run_stage("pretrain", MaskedModule, CodeData, argv, __doc__ or "")
