"""What the command lines of all training stages share (LightningCLI).

``--config`` takes a file or the name of a bundled preset; ``--out`` is the run's folder.
"""

import logging
import sys
import warnings
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from lightning import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, ProgressBar, RichProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import CSVLogger

from brainfm.command_parser import HelpFormatter, plain_text
from brainfm.strategies import register_strategies

CHECKPOINTS = "checkpoints"


def preset_names(stage: str) -> list[str]:
    """Return the names of a stage's bundled presets."""
    files = resources.files("brainfm.configs").iterdir()
    prefix = f"{stage}_"
    names = [f.name for f in files if f.name.startswith(prefix) and f.name.endswith(".yaml")]
    return sorted(name.removeprefix(prefix).removesuffix(".yaml") for name in names)


def resolve_presets(argv: Sequence[str], stage: str) -> list[str]:
    """Replace the name of a preset after ``--config`` by the path of its file."""
    resolved: list[str] = []
    for position, word in enumerate(argv):
        after_flag = position > 0 and argv[position - 1] in ("--config", "-c")
        flag, _, name = word.partition("=") if word.startswith("--config=") else ("", "", word)
        if not (after_flag or flag) or Path(name).exists():
            resolved.append(word)
            continue
        if name not in preset_names(stage):
            raise ValueError(
                f"--config {name}: no such file, and no preset of that name; presets: "
                f"{', '.join(preset_names(stage))}"
            )
        path = str(resources.files("brainfm.configs") / f"{stage}_{name}.yaml")
        resolved.append(f"--config={path}" if flag else path)
    return resolved


class StageBar(RichProgressBar):
    """Lightning's bar without the version of the log and, where there is none, without a limit."""

    def _get_train_description(self, current_epoch: int) -> str:
        limited = (self.trainer.max_epochs or -1) > 0
        return (
            super()._get_train_description(current_epoch) if limited else f"Epoch {current_epoch}"
        )

    def get_metrics(
        self, trainer: Trainer, pl_module: LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        """Return what stands beside the bar."""
        items = super().get_metrics(trainer, pl_module)
        items.pop("v_num", None)
        return items


class SaveAtEnd(Callback):
    """Write the last checkpoint when training ends, validation or not."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save; on all ranks, as sharded strategies demand."""
        trainer.save_checkpoint(self.path, weights_only=False)


class StageCLI(LightningCLI):
    """LightningCLI with a run folder, presets and one way to keep results.

    The run folder holds ``checkpoints/`` (last and best) and ``logs/version_*/``, one for each
    start, with ``config.yaml`` (all settings) and ``metrics.csv``.
    """

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add ``--out``."""
        parser.add_argument(
            "--out", type=str, required=False, help="Folder of the run; nothing in it is deleted."
        )

    def before_instantiate_classes(self) -> None:
        """Send everything Lightning writes to the run's folder."""
        config = self.config[self.subcommand] if self.subcommand else self.config
        if not config.get("out"):
            raise ValueError("--out is missing: name the folder of the run")
        config.trainer.default_root_dir = config.out

    def instantiate_trainer(self, **kwargs: Any) -> Any:
        """Build the trainer with this project's logger and checkpoints where none are given."""
        config = self.config[self.subcommand] if self.subcommand else self.config
        folder = Path(config.out)
        if config.trainer.get("logger") in (None, True):
            kwargs["logger"] = CSVLogger(folder, name="logs")
        # What is given here takes the place of what the user's settings name: pass both on.
        named = self._get(self.config_init, "trainer", default={}).get("callbacks") or []
        callbacks = [*(named if isinstance(named, list) else [named])]
        callbacks += kwargs.get("callbacks") or []
        if self.subcommand == "fit" and config.trainer.get("enable_checkpointing") is not False:
            keep = ModelCheckpoint(
                dirpath=folder / CHECKPOINTS,
                filename="best",
                monitor="validation/loss",
                save_last=True,
                enable_version_counter=False,
            )
            callbacks += [keep, SaveAtEnd(folder / CHECKPOINTS / "last.ckpt")]
        has_bar = any(isinstance(callback, ProgressBar) for callback in callbacks)
        if config.trainer.get("enable_progress_bar") is not False and not has_bar:
            callbacks.append(StageBar())
        kwargs["callbacks"] = callbacks
        return super().instantiate_trainer(**kwargs)

    def _parse_ckpt_path(self) -> None:
        """Do nothing: Lightning would overwrite the model's settings with the checkpoint's."""


def run_stage(
    stage: str,
    module: type[LightningModule],
    data: type[LightningDataModule],
    argv: Sequence[str],
    help_text: str,
) -> int:
    """Run ``brainfm STAGE fit|validate|test|predict``; ``help_text`` stands above its options."""
    arguments = resolve_presets(argv, stage)
    register_strategies()
    # One line that says what to do is enough where Lightning warns at every start.
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
    warnings.filterwarnings("ignore", message=".*Checkpoint directory .* exists.*")
    warnings.filterwarnings("ignore", message=".*smaller than the logging interval.*")
    # Lightning's notices of accelerators that are not there, and its advertisements.
    logging.getLogger("lightning.pytorch.utilities.rank_zero").setLevel(logging.WARNING)
    logging.getLogger("lightning.fabric.utilities.seed").setLevel(logging.WARNING)
    before = sys.argv
    # Lightning starts other ranks by the command line, and warns where it is given words besides.
    warnings.filterwarnings("ignore", message="LightningCLI's args parameter")
    sys.argv = [before[0], stage, *argv]
    try:
        StageCLI(
            module,
            data,
            args=list(arguments),
            seed_everything_default=0,
            auto_configure_optimizers=False,
            save_config_kwargs={"overwrite": True},
            # A resumed epoch may be longer or shorter than the next: ask the loader every time.
            trainer_defaults={
                "enable_model_summary": False,
                "reload_dataloaders_every_n_epochs": 1,
            },
            parser_kwargs={
                "prog": f"brainfm {stage}",
                "description": plain_text(help_text),
                "formatter_class": HelpFormatter,
                # An abbreviation that fits today means something else after the next new option.
                "allow_abbrev": False,
            },
        )
    finally:
        sys.argv = before
    return 0
