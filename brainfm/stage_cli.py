"""What the command lines of all training stages share (LightningCLI).

``--config`` takes a file or the name of a bundled preset; ``--out`` is the run's folder, and a run
that is there is continued (:mod:`brainfm.resume`).
"""

import logging
import sys
import warnings
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from lightning import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar, RichProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from brainfm.command_parser import HelpFormatter, OneLineErrors, plain_text
from brainfm.random_states import RandomStates
from brainfm.rank_beats import RankWatchConfig
from brainfm.rank_watch import RankWatch
from brainfm.resume import AUTO, resolve_resume
from brainfm.run_checkpoints import CHECKPOINTS, CheckpointConfig, RunCheckpoints, RunFiles
from brainfm.run_log import RunLog
from brainfm.run_signals import StopSignals
from brainfm.strategies import register_strategies

ENGINE = "engine_"


def preset_names(stage: str) -> list[str]:
    """Return the names of a stage's bundled presets."""
    return [name.removeprefix(f"{stage}_") for name in _bundled(f"{stage}_")]


def engine_names() -> list[str]:
    """Return the names of the bundled engine presets, which fit every stage."""
    return _bundled(ENGINE)


def _bundled(prefix: str) -> list[str]:
    files = [file.name for file in resources.files("brainfm.configs").iterdir()]
    chosen = [name for name in files if name.startswith(prefix) and name.endswith(".yaml")]
    return sorted(name.removesuffix(".yaml") for name in chosen)


def resolve_presets(argv: Sequence[str], stage: str) -> list[str]:
    """Replace the name of a preset after ``--config`` by the path of its file."""
    resolved: list[str] = []
    for position, word in enumerate(argv):
        after_flag = position > 0 and argv[position - 1] in ("--config", "-c")
        flag, _, name = word.partition("=") if word.startswith("--config=") else ("", "", word)
        if not (after_flag or flag) or Path(name).is_file():
            resolved.append(word)
            continue
        files = {preset: f"{stage}_{preset}.yaml" for preset in preset_names(stage)}
        files |= {engine: f"{engine}.yaml" for engine in engine_names()}
        if name not in files:
            raise ValueError(
                f"--config {name}: no such file, and no preset of that name; presets: "
                f"{', '.join(preset_names(stage))}; engines: {', '.join(engine_names())}"
            )
        path = str(resources.files("brainfm.configs") / files[name])
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


class StageParser(OneLineErrors, LightningArgumentParser):
    """The parser of a training stage."""


class StageCLI(LightningCLI):
    """LightningCLI with a run folder, presets and one way to keep results.

    The run folder holds ``checkpoints/`` and ``logs/version_*/``, one for each start, with
    ``config.yaml`` (all settings) and ``metrics.csv``.
    """

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add ``--out``."""
        parser.add_argument(
            "--out", type=str, required=False, help="Folder of the run; nothing in it is deleted."
        )

    def _prepare_subcommand_parser(
        self, klass: type, subcommand: str, **kwargs: Any
    ) -> LightningArgumentParser:
        parser = super()._prepare_subcommand_parser(klass, subcommand, **kwargs)
        if subcommand == "fit":
            parser.add_argument(
                "--resume",
                type=str,
                default=AUTO,
                help="'auto' continues the run in --out from its newest whole checkpoint, if there "
                "is one; 'none' refuses a folder that holds one; else a checkpoint to start from: "
                "its path, or its name in the run (last, best, step-500).",
            )
            parser.add_argument("--checkpoints", type=CheckpointConfig, default=CheckpointConfig())
            parser.add_argument("--ranks", type=RankWatchConfig, default=RankWatchConfig())
        return parser

    def before_instantiate_classes(self) -> None:
        """Send everything Lightning writes to the run's folder, and find where to go on."""
        config = self.config[self.subcommand] if self.subcommand else self.config
        if not config.get("out"):
            raise ValueError("--out is missing: name the folder of the run")
        config.trainer.default_root_dir = config.out
        if self.subcommand == "fit":
            if config.get("ckpt_path") and config.resume != AUTO:
                raise ValueError("--ckpt_path and --resume say the same: give --resume alone")
            start = resolve_resume(Path(config.out), config.get("ckpt_path") or config.resume)
            config.ckpt_path = None if start is None else str(start)

    def after_fit(self) -> None:
        """Say that training is over, and what comes next."""
        if self.trainer.is_global_zero:
            out = self.config[self.subcommand].out
            print(f"finished at step {self.trainer.global_step} in {out}", flush=True)
            print(f"next: brainfm export {out} --out CHECKPOINT", flush=True)

    def instantiate_trainer(self, **kwargs: Any) -> Any:
        """Build the trainer with this project's logger and checkpoints where none are given."""
        config = self.config[self.subcommand] if self.subcommand else self.config
        folder = Path(config.out)
        if config.trainer.get("logger") in (None, True):
            kwargs["logger"] = RunLog(folder, "logs")
        # What is given here takes the place of what the user's settings name: pass both on.
        given = self._get(self.config_init, "trainer", default={})
        callbacks = [*_listed(given.get("callbacks")), *(kwargs.get("callbacks") or [])]
        kwargs["plugins"] = [*_listed(given.get("plugins")), RunFiles()]
        if self.subcommand == "fit":
            callbacks += self._guards(config, folder)
        has_bar = any(isinstance(callback, ProgressBar) for callback in callbacks)
        if config.trainer.get("enable_progress_bar") is not False and not has_bar:
            callbacks.append(StageBar())
        kwargs["callbacks"] = callbacks
        return super().instantiate_trainer(**kwargs)

    def _guards(self, config: Any, folder: Path) -> list[Callback]:
        """Return what keeps a training run from being lost."""
        found: list[Callback] = [
            RandomStates(),
            RankWatch(self._get(self.config_init, "ranks")),
        ]
        if config.trainer.get("enable_checkpointing") is not False:
            signals = StopSignals()
            cfg = self._get(self.config_init, "checkpoints")
            found += [signals, RunCheckpoints(folder / CHECKPOINTS, cfg, signals)]
        return found

    def _parse_ckpt_path(self) -> None:
        """Do nothing: Lightning would overwrite the model's settings with the checkpoint's."""


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list) else [] if value is None else [value]


def run_stage(
    stage: str,
    module: type[LightningModule],
    data: type[LightningDataModule],
    argv: Sequence[str],
    help_text: str,
    *,
    callbacks: Sequence[Callback] = (),
    cli: type[StageCLI] = StageCLI,
) -> int:
    """Run ``brainfm STAGE fit|validate|test|predict``; ``help_text`` stands above its options.

    ``callbacks`` are the stage's own; they join those of the settings and of every stage. ``cli``
    is what a stage does in its own way.
    """
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
        cli(
            module,
            data,
            args=list(arguments),
            seed_everything_default=0,
            auto_configure_optimizers=False,
            save_config_kwargs={"overwrite": True},
            parser_class=StageParser,
            # A resumed epoch may be longer or shorter than the next: ask the loader every time.
            trainer_defaults={
                "enable_model_summary": False,
                "reload_dataloaders_every_n_epochs": 1,
                "callbacks": list(callbacks),
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
