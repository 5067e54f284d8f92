r"""Decode from recordings (stage 3): a head on a checkpoint, trained and tested fold by fold.

``--config`` takes a YAML file or a bundled preset; every setting in it can be overridden on the
command line. ``--print_config`` after ``fit`` shows all of them. It names the data and
the decoder::

    data:
      source: {class_path: brainfm.finetune.recording_sources.Files, init_args: {...}}
      trials: {window: [0.0, 2.0]}         # seconds from the event
      split: {by: subject}                 # who is never on two sides
    model:
      backbone:
        class_path: brainfm.finetune.pretrained.Pretrained
        init_args: {checkpoint: runs/checkpoint}
      head: {class_path: brainfm.finetune.classification.Classification}
      adaptation: {kind: full}             # frozen, linear, ridge, lora, full, two_stage
    trainer: {max_epochs: 50}              # if not given: 30, more where they are below 300 steps

Example::

    brainfm finetune fit --config mine.yaml --out runs/mine
    brainfm evaluate runs/mine
    brainfm finetune predict --run runs/mine --data.source.init_args.files '[new.fif]' --out new

``fit`` trains every fold of the split, keeps its best weights by the validation side and writes
predictions of that side and of the test side; run again, it goes on where it was. ``test`` and
``validate`` write predictions of a finished run anew. ``predict`` decodes other recordings, whose
events need no labels, with one fold of a run (``--data.fold``, 0 if not given).
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from lightning.pytorch.cli import LightningArgumentParser

from brainfm.stage_cli import StageCLI, run_stage

from .data import DecodingData, Side
from .folds import (
    is_finished,
    load_best,
    scores,
    sides_of,
    solve_fold,
    write_predictions,
    write_run,
)
from .module import DecodingModule
from .new_trials import write_new_predictions
from .predictions import fold_path
from .run_record import CONFIG_FILE, at_home
from .training_length import EPOCHS, DefaultLength, names_no_length

NOT_OF_THE_RUN = ("out", "resume", "ckpt_path", "config", "run")
"""Options that name folders."""


class FinetuneCLI(StageCLI):
    """The command line of fine-tuning: all folds where no fold is named."""

    trainer: Any
    model: DecodingModule
    datamodule: DecodingData

    def _prepare_subcommand_parser(
        self, klass: type, subcommand: str, **kwargs: Any
    ) -> LightningArgumentParser:
        parser = super()._prepare_subcommand_parser(klass, subcommand, **kwargs)
        if subcommand != "fit":
            parser.add_argument(
                "--run", type=str, required=False, help="Folder of the finished run to use."
            )
        return parser

    def instantiate_trainer(self, **kwargs: Any) -> Any:
        """Build the trainer; without a length Lightning would train for 1000 epochs."""
        if self.subcommand == "fit" and names_no_length(self._settings.trainer):
            kwargs["max_epochs"] = EPOCHS
            kwargs["callbacks"] = [*(kwargs.get("callbacks") or []), DefaultLength()]
        return super().instantiate_trainer(**kwargs)

    def after_fit(self) -> None:
        """Say nothing: a fold is not the run, whose scores come at its end."""

    def _run_subcommand(self, subcommand: str) -> None:
        out, fold = Path(self._settings["out"]), self.datamodule.fold
        self.datamodule.trainer = self.trainer
        if subcommand == "predict":
            self._predict_new(out)
        elif subcommand == "fit" and fold is None:
            self._fit_all(out)
        elif subcommand == "fit":
            self._fit_one(out)
        else:
            self._predict_again(subcommand)

    @property
    def _settings(self) -> Any:
        return self.config[self.subcommand]

    def _fit_all(self, run: Path) -> None:
        data, settings = self.datamodule, self._plain_settings(run)
        data.prepare(self.model.backbone.processing)
        # Every rank writes the same, whole: none can read before it is there.
        write_run(run, self.model, data, settings)
        for fold in range(data.n_folds):
            if is_finished(run, fold):
                continue
            print(f"fold {fold} of {data.n_folds}: {sides_of(data, fold)}", flush=True)
            words = ["fit", "--config", str(run / CONFIG_FILE), "--data.fold", str(fold)]
            self._start([*words, "--out", str(fold_path(run, fold))])
        if self.trainer.is_global_zero:
            print(finished(run, data.control.kind), flush=True)

    def _start(self, words: list[str]) -> None:
        """Run one fold here, or, where ranks are started anew for each, in a process of its own."""
        environment = getattr(self.trainer.strategy, "cluster_environment", None)
        several = self.trainer.num_devices * self.trainer.num_nodes > 1
        if not several or environment is None or environment.creates_processes_externally:
            main(words)
            return
        command = [sys.executable, "-m", "brainfm.cli", "finetune", *words]
        status = subprocess.run(command, check=False).returncode
        if status:
            raise SystemExit(status)

    def _fit_one(self, folder: Path) -> None:
        module, data = self.model, self.datamodule
        if module.adaptation.kind == "ridge":
            if not self.trainer.is_global_zero:
                return
            self._prepare()
            solve_fold(module, data, folder)
        else:
            super()._run_subcommand("fit")
        if self.trainer.is_global_zero:
            load_best(module.to(self.trainer.strategy.root_device), folder)
            write_predictions(module, data, folder)

    def _predict_again(self, subcommand: str) -> None:
        run, fold = Path(self._settings["out"]), self.datamodule.fold
        side: Side = "validation" if subcommand == "validate" else "test"
        if fold is not None:
            self._prepare()
            load_best(self.model, fold_path(run, fold))
            write_predictions(self.model, self.datamodule, fold_path(run, fold), (side,))
            return
        self.datamodule.prepare(self.model.backbone.processing)
        for k in range(self.datamodule.n_folds):
            main([subcommand, "--run", str(run), "--data.fold", str(k)])
        print(finished(run, self.datamodule.control.kind), flush=True)

    def _predict_new(self, out: Path) -> None:
        run = self._settings.get("run")
        if not run:
            raise ValueError("--run is missing: name the folder of a finished run")
        path = write_new_predictions(self.datamodule, Path(run), out)
        print(f"predictions are in {path}", flush=True)

    def _prepare(self) -> None:
        data, module = self.datamodule, self.model
        data.prepare(module.backbone.processing)
        if data.findings:
            raise ValueError(f"the folds leak: {data.findings[0]}; change data.split")
        device = self.trainer.strategy.root_device
        module.prepare(data, device)
        module.to(device)

    def _plain_settings(self, run: Path) -> dict[str, Any]:
        """Return all settings but those that name folders; prepared recordings are shared."""
        parser, config = self._parser(self.subcommand), self._settings
        found: dict[str, Any] = yaml.safe_load(parser.dump(config, skip_none=False))
        for name in NOT_OF_THE_RUN:
            found.pop(name, None)
        found["trainer"].pop("default_root_dir", None)
        found["data"].pop("fold", None)
        if found["data"].get("cache") is None:
            found["data"]["cache"] = str((run / "corpus").absolute())
        return found


def main(argv: list[str]) -> int:
    """Run ``brainfm finetune ...``."""
    with with_settings_of_run(argv) as words:
        return run_stage(
            "finetune", DecodingModule, DecodingData, words, __doc__ or "", cli=FinetuneCLI
        )


@contextmanager
def with_settings_of_run(argv: list[str]) -> Iterator[list[str]]:
    """Yield the command line with the settings of ``--run``, which other words override.

    Inside, relative paths count from where the run was fitted; only for ``predict``, whose words
    name recordings, they count from here, but for that of the checkpoint.

    Raises
    ------
    FileNotFoundError
        The named folder is no run.
    """
    run = _value_of("--run", argv)
    if not argv or argv[0] == "fit" or run is None:
        yield argv
        return
    path = Path(run) / CONFIG_FILE
    if not path.is_file():
        raise FileNotFoundError(f"{run} is no fine-tuning run (it has no {CONFIG_FILE})")
    settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    kept = {name: settings[name] for name in ("seed_everything", "model", "data")}
    kept["trainer"] = {"accelerator": settings["trainer"].get("accelerator", "auto"), "devices": 1}
    # What comes last counts.
    words = [*argv[1:], "--run", str(Path(run).absolute())]
    predict = argv[0] == "predict"
    if predict:
        # Recordings that are no part of the run stay out of its folder.
        kept["data"]["cache"] = None
        with at_home(Path(run)):
            _name_checkpoint(kept["model"]["backbone"])
    else:
        words += ["--out", str(Path(_value_of("--out", argv) or run).absolute())]
    with TemporaryDirectory() as folder, nullcontext() if predict else at_home(Path(run)):
        file = Path(folder) / CONFIG_FILE
        file.write_text(yaml.safe_dump(kept), encoding="utf-8")
        yield [argv[0], "--config", str(file), *words]


def _name_checkpoint(backbone: dict[str, Any]) -> None:
    """Make the path of a checkpoint that is here absolute."""
    arguments = backbone.get("init_args") or {}
    checkpoint = arguments.get("checkpoint")
    if checkpoint and Path(checkpoint).is_dir():
        arguments["checkpoint"] = str(Path(checkpoint).absolute())


def finished(run: Path, control: str) -> str:
    """Return the scores of a run and what comes next; a null control is judged with its run."""
    return scores(run) if control != "none" else f"{scores(run)}\nnext: brainfm evaluate {run}"


def _value_of(option: str, argv: list[str]) -> str | None:
    for word, after in zip_longest(argv, argv[1:]):
        if word == option:
            return after
        if word.startswith(f"{option}="):
            return word.partition("=")[2]
    return None
