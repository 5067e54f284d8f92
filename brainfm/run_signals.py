"""Requests to stop: SIGTERM, SLURM's signal before a job's time ends, and the first Ctrl-C.

A handler only takes a note, whatever training is doing. After the next optimizer step, or batch of
validation, all ranks agree on it, save and end with the status schedulers expect, 128 + signal.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment


class StopSignals(Callback):
    """Takes notes of signals and ends the run when the checkpoint is written."""

    def __init__(self) -> None:
        self.noted = 0
        self.agreed = 0

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen; the trainer's own handlers, which came before, talk to other ranks at once."""
        self._listen(trainer)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen."""
        self._listen(trainer)

    def _listen(self, trainer: Trainer) -> None:
        for number in (signal.SIGTERM, requeue_signal(trainer), signal.SIGINT):
            signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.noted == signal.SIGINT:
            raise KeyboardInterrupt
        self.noted = number

    def agree(self, trainer: Trainer, flag: bool) -> bool:
        """Return whether ``flag`` is set on any rank, and learn of signals on all of them."""
        notes = torch.tensor([self.noted, int(flag)])
        if trainer.world_size > 1:
            notes = notes.to(trainer.strategy.root_device)
            torch.distributed.all_reduce(notes, op=torch.distributed.ReduceOp.MAX)
        self.agreed, found = notes.tolist()
        return bool(found)

    def leave(self, trainer: Trainer, checkpoint: Path | None) -> NoReturn:
        """End this process; all ranks call it, after ``checkpoint`` has been written."""
        name = signal.Signals(self.agreed).name
        if trainer.is_global_zero:
            saved = f"saved in {checkpoint}" if checkpoint else "nothing trained yet"
            print(
                f"{name}: stopped after step {trainer.global_step}, {saved}; the same command "
                "goes on from there",
                file=sys.stderr,
                flush=True,
            )
            if self.agreed == requeue_signal(trainer):
                requeue(trainer)
        trainer.strategy.barrier("stop")
        raise SystemExit(exit_status(trainer, self.agreed))


def requeue_signal(trainer: Trainer) -> int:
    """Return the signal that SLURM sends before a job's time ends, SIGUSR1 unless set otherwise."""
    environment = _environment(trainer)
    chosen = environment.requeue_signal if isinstance(environment, SLURMEnvironment) else None
    return int(chosen or signal.SIGUSR1)


def requeue(trainer: Trainer) -> None:
    """Ask SLURM to run this job again, where the trainer's environment is SLURM and allows it."""
    environment = _environment(trainer)
    if not isinstance(environment, SLURMEnvironment) or not environment.auto_requeue:
        return
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    task = os.environ.get("SLURM_ARRAY_TASK_ID")
    job = f"{array}_{task}" if array else os.environ["SLURM_JOB_ID"]
    try:
        done = subprocess.run(
            ["scontrol", "requeue", job], check=False, capture_output=True, text=True, timeout=60
        )
        problem = done.stderr.strip() if done.returncode else ""
    except (OSError, subprocess.TimeoutExpired) as error:
        problem = str(error)
    answer = f"could not requeue job {job}: {problem}" if problem else f"job {job} is queued again"
    print(answer, file=sys.stderr, flush=True)


def exit_status(trainer: Trainer, number: int) -> int:
    """Return the status a process that a signal stopped ends with."""
    # The first process waits for those it started itself and takes their failure for its own.
    started_by_first = isinstance(_environment(trainer), LightningEnvironment)
    return 0 if started_by_first and trainer.local_rank > 0 else 128 + number


def _environment(trainer: Trainer) -> Any:
    return trainer._accelerator_connector.cluster_environment
