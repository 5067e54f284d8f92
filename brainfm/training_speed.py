"""How fast training goes, what it waits for and what memory it takes: logged beside the loss."""

import resource
import sys
import time
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from lightning import Callback, LightningModule, Trainer

from brainfm.matmul_rate import matmul_rate, precision_dtype


class BatchWork(NamedTuple):
    """What a training step on one batch of one rank amounts to.

    ``tokens`` seen; ``signal_s`` seconds of signal they stand for; ``flops`` of the products of
    forward and backward pass.
    """

    tokens: int
    signal_s: float
    flops: float


@runtime_checkable
class CountsWork(Protocol):
    """A module that can say what a batch amounts to."""

    def work(self, batch: Any) -> BatchWork:
        """Return what a training step on the batch amounts to."""


class TrainingSpeed(Callback):
    """Log speed, waiting and memory every ``log_every_n_steps`` optimizer steps.

    ``speed/tokens_per_second`` and ``speed/signal_hours_per_second`` of all ranks together;
    ``speed/matmul_share``, the share of the rate at which this device multiplies large matrices in
    the precision of training, measured for half a second at the start; ``speed/data_wait_s``
    seconds a batch between two steps (reading, transfer, logging) and ``speed/data_wait_share``,
    their share of all time; ``speed/memory_gb``, the most that was taken so far: of the GPU, else
    by the process.

    Validation and saving count neither as work nor as waiting. A GPU works on while the process
    goes ahead, so that its waiting for data is at most what is logged. The figures are those of
    rank 0, and nothing here makes a rank wait for another or for its GPU.

    Attributes
    ----------
    latest
        What was logged last, on rank 0.
    """

    def __init__(self) -> None:
        self.latest: dict[str, float] = {}
        self._rate = 0.0
        self._logged_at = 0
        self._begin = 0.0
        self._last_end: float | None = None
        self._warm = False
        self._forget()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure what the device can do."""
        if not isinstance(pl_module, CountsWork):
            raise ValueError(f"{type(pl_module).__name__} does not say what a batch amounts to")
        if trainer.is_global_zero:
            dtype = precision_dtype(str(trainer.precision))
            self._rate = matmul_rate(pl_module.device, dtype)
        if pl_module.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(pl_module.device)
        self._last_end, self._warm, self._logged_at = None, False, trainer.global_step
        self._forget()

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Take the time since the last step."""
        self._begin = time.perf_counter()
        if self._last_end is not None:
            self._wait += self._begin - self._last_end
            self._waits += 1

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Take the time of the step; log where it is time to."""
        self._last_end = time.perf_counter()
        if not self._warm:  # the first step allocates, and compiles where that is asked for
            self._warm = True
            return
        assert isinstance(pl_module, CountsWork)
        work = pl_module.work(batch)
        self._tokens += work.tokens
        self._signal_s += work.signal_s
        self._flops += work.flops
        self._busy += self._last_end - self._begin
        step, every = trainer.global_step, trainer.log_every_n_steps  # type: ignore[attr-defined]
        if step == self._logged_at or step % max(1, every):
            return
        if trainer.is_global_zero and self._waits:
            self.latest = self._metrics(trainer.world_size, pl_module.device)
            for logger in trainer.loggers:
                # The trainer counts the step as done only after this.
                logger.log_metrics(self.latest, step=step - 1)
        self._logged_at = step
        self._forget()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave validation out."""
        self._last_end = None

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Leave saving out."""
        self._last_end = None

    def _forget(self) -> None:
        self._tokens, self._signal_s, self._flops = 0, 0.0, 0.0
        self._busy, self._wait, self._waits = 0.0, 0.0, 0

    def _metrics(self, n_ranks: int, device: torch.device) -> dict[str, float]:
        elapsed = self._busy + self._wait
        return {
            "speed/tokens_per_second": n_ranks * self._tokens / elapsed,
            "speed/signal_hours_per_second": n_ranks * self._signal_s / 3600 / elapsed,
            "speed/matmul_share": self._flops / elapsed / self._rate,
            "speed/data_wait_s": self._wait / self._waits,
            "speed/data_wait_share": self._wait / elapsed,
            "speed/memory_gb": memory_peak(device) / 1e9,
        }


def memory_peak(device: torch.device) -> int:
    """Return the most bytes taken so far: of the GPU, or by the process where there is none."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
