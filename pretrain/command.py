r"""Train the masked model on codes (stage 2): hidden codes from the others.

``--config`` takes a YAML file or a bundled preset (nano, tiny, base, large); every setting in it
can be overridden on the command line. ``--print_config`` after ``fit`` shows all of them.

Example::

    brainfm pretrain fit --config nano --data.codes codes --data.split corpus/split.json \
        --out runs/pretrain

The log is logs/version_*/metrics.csv in the run's folder: learning beside guesses without a model,
speed, waiting for data, memory. For TensorBoard or Weights & Biases besides, put their loggers into
a YAML file and give it as a second ``--config``::

    trainer:
      logger:
        - class_path: lightning.pytorch.loggers.CSVLogger
          init_args: {save_dir: runs/pretrain, name: logs}
        - class_path: lightning.pytorch.loggers.TensorBoardLogger
          init_args: {save_dir: runs/pretrain, name: tensorboard}
"""

from brainfm.stage_cli import run_stage
from brainfm.training_speed import TrainingSpeed

from .data import CodeData
from .module import MaskedModule


def main(argv: list[str]) -> int:
    """Run ``brainfm pretrain ...``."""
    help_text = __doc__ or ""
    return run_stage(
        "pretrain", MaskedModule, CodeData, argv, help_text, callbacks=[TrainingSpeed()]
    )
