"""Checkpoints of a training run: when they are written, which are kept, and that all are whole.

A run's ``checkpoints/`` holds ``last.ckpt``, ``best.ckpt`` (lowest loss on validation) and, where
asked for, ``step-N.ckpt``. Each is written under a temporary name, flushed and renamed: a file that
bears its name is whole. Every engine writes the same single file of tensors and plain values.

They are written only where a run can go on exactly: after an optimizer step, never between batches
that are accumulated, and after the validation that a step is followed by.
"""

import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO

from brainfm.atomic import atomic_path, remove_leftovers
from brainfm.run_signals import StopSignals
from brainfm.torch_files import read_torch_file

CHECKPOINTS = "checkpoints"
LAST, BEST = "last.ckpt", "best.ckpt"
MONITOR = "validation/loss"


@dataclass(frozen=True, kw_only=True)
class CheckpointConfig:
    """When a run is saved, besides after every validation and at its end.

    Parameters
    ----------
    every_steps
        Optimizer steps between two writes of ``last.ckpt``; None: time alone decides.
    every_minutes
        Minutes between two writes of ``last.ckpt``; None: steps alone decide.
    keep_every
        Optimizer steps between two checkpoints that are kept for good (``step-N.ckpt``); None:
        only the last and the best are kept.
    """

    every_steps: int | None = None
    every_minutes: float | None = 10.0
    keep_every: int | None = None

    def __post_init__(self) -> None:
        for name in ("every_steps", "every_minutes", "keep_every"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"{name} must be positive or null, got {value}")


class RunFiles(TorchCheckpointIO):
    """Reads and writes checkpoint files: whole or not at all, and without unpickling objects."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write a file as a whole."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary:
            torch.save(checkpoint, temporary)

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a file; objects other than tensors and plain values are refused."""
        content: dict[str, Any] = read_torch_file(path)
        return content


class RunCheckpoints(Checkpoint):
    """Writes the checkpoints of a run and stops it where it is asked to.

    Parameters
    ----------
    folder
        Where the files go.
    cfg
        When.
    signals
        Requests to stop; they are met once a checkpoint is written.
    """

    def __init__(self, folder: Path, cfg: CheckpointConfig, signals: StopSignals) -> None:
        self.folder, self.cfg, self.signals = folder, cfg, signals
        self.best: float | None = None
        self._saved_step = -1
        self._saved_at = time.monotonic()
        self._due = self._keep = self._validating = False

    def state_dict(self) -> dict[str, Any]:
        """Return the best loss so far."""
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from the best loss so far."""
        self.best = state_dict["best"]

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Remove what killed writers left, and see that all ranks start from the same file."""
        if stage != "fit":
            return
        mine = str(trainer.ckpt_path)
        theirs = trainer.strategy.broadcast(mine)
        if theirs != mine:
            raise ValueError(
                f"rank {trainer.global_rank} would start from {mine}, rank 0 from {theirs}; all "
                "nodes must see the same run folder: put --out on a shared file system"
            )
        if trainer.is_global_zero and self.folder.is_dir():
            remove_leftovers(self.folder)

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Say from where the run goes on."""
        if trainer.is_global_zero and trainer.state.fn == "fit":
            step = checkpoint["global_step"]
            print(f"continuing from step {step} ({trainer.ckpt_path})", flush=True)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._saved_at = time.monotonic()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save where it is time to."""
        loop = trainer.fit_loop.epoch_loop
        if loop._should_accumulate():
            return
        step, cfg = trainer.global_step, self.cfg
        finished = trainer.max_steps != -1 and step >= trainer.max_steps
        minutes = (time.monotonic() - self._saved_at) / 60
        late = cfg.every_minutes is not None and minutes >= cfg.every_minutes
        # Rank 0's clock counts; a signal may have come to any rank.
        late = self.signals.agree(trainer, late and trainer.is_global_zero)
        keep = cfg.keep_every is not None and step % cfg.keep_every == 0
        regular = cfg.every_steps is not None and step % cfg.every_steps == 0
        self._keep |= keep
        self._due |= keep or regular or late or finished or bool(self.signals.agreed)
        fetcher = trainer.fit_loop._data_fetcher
        assert fetcher is not None
        if not self._due or loop._should_check_val_fx(fetcher):
            return  # after a validation all is saved in any case
        if loop._num_ready_batches_reached():
            return  # an epoch ends: the next step, or the end of training, is clearer
        # The row of this step would otherwise be logged after the checkpoint that follows it.
        trainer._logger_connector.update_train_step_metrics()
        self._save(trainer, better=False)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Save in the middle of a validation only if asked to stop; it is then run anew."""
        if trainer.state.fn != "fit":
            return
        self.signals.agree(trainer, False)
        if self.signals.agreed and trainer.sanity_checking:
            self.signals.leave(trainer, None)
        elif self.signals.agreed:
            self._validating = True
            self._save(trainer, better=False)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save, and keep the best."""
        if trainer.state.fn != "fit" or trainer.sanity_checking:
            return
        value = trainer.callback_metrics.get(MONITOR)
        loss = float("inf") if value is None else float(value)
        better = loss == loss and (self.best is None or loss < self.best)
        if better:
            self.best = loss
        self._save(trainer, better=better)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the end, if it is not."""
        if self._saved_step != trainer.global_step:
            self._save(trainer, better=False)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Mark a validation that was broken off as not begun."""
        if self._validating:
            progress = checkpoint["loops"]["fit_loop"]["epoch_loop.val_loop.batch_progress"]
            done = progress["total"]["completed"]
            # What the trainer takes for "in the middle of a validation", at its first batch.
            progress["total"].update(ready=done + 1, started=done + 1, processed=done)
            progress["current"].update(dict.fromkeys(progress["current"], 0))
            progress["is_last_batch"] = False

    def _save(self, trainer: Trainer, *, better: bool) -> None:
        for logger in trainer.loggers:
            logger.save()
        last, step = self.folder / LAST, trainer.global_step
        trainer.save_checkpoint(last, weights_only=False)
        if trainer.is_global_zero:
            if better:
                duplicate(last, self.folder / BEST)
            if self._keep:
                duplicate(last, self.folder / f"step-{step}.ckpt")
        self._saved_step, self._saved_at = step, time.monotonic()
        self._due = self._keep = False
        if self.signals.agreed:
            self.signals.leave(trainer, last)


def duplicate(source: Path, target: Path) -> None:
    """Give a file a second name, replacing what bore it; a copy where links are impossible."""
    with atomic_path(target) as temporary:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
