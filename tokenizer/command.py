"""Train the tokenizer on a corpus (stage 1): signals to codes and back.

``--config`` takes a YAML file or a bundled preset (nano, tiny, base); every setting in it can be
overridden on the command line. ``--print_config`` after ``fit`` shows all of them.

Example::

    brainfm tokenizer fit --config nano --data.corpus corpus --out runs/tokenizer
"""

from brainfm.stage_cli import run_stage

from .data import WindowData
from .module import TokenizerModule


def main(argv: list[str]) -> int:
    """Run ``brainfm tokenizer ...``."""
    return run_stage("tokenizer", TokenizerModule, WindowData, argv, __doc__ or "")
