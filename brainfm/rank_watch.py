"""One dead rank ends the job in seconds, with its reason, instead of leaving the others to wait.

Every rank gives signs of life through a store that rank 0 serves; a thread does it, so that a rank
in a long collective is heard too. Rank 0 judges; when a rank has died, failed or hangs, all end
with status 1 and one line says why. When rank 0 itself is gone the others notice by its store.
"""

import contextlib
import os
import re
import signal
import sys
import threading
import time
from datetime import timedelta
from typing import Any, NoReturn

import torch
from lightning import Callback, LightningModule, Trainer

from brainfm.rank_beats import Beat, Judge, RankWatchConfig

VERDICT = "verdict"
ADVICE = "the job ends; the same command goes on from the last checkpoint"
ENDING_S = 20.0
"""Seconds an orderly end may take after a rank is lost; libraries may wait for it for ever."""


class RankWatch(Callback):
    """Watches the ranks of a training run; does nothing where there is only one.

    Parameters
    ----------
    cfg
        How long to wait.
    """

    def __init__(self, cfg: RankWatchConfig) -> None:
        self.cfg = cfg
        self.beat = Beat()
        self.rank = 0
        self._judge = Judge(cfg)
        self._store: Any = None
        self._stop = threading.Event()
        self._children: list[Any] = []

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the store and start giving signs of life."""
        if trainer.world_size == 1 or self._store is not None:
            return
        self.rank, n_ranks = trainer.global_rank, trainer.world_size
        limit = timedelta(seconds=self.cfg.timeout_s)
        host = os.environ.get("MASTER_ADDR", "127.0.0.1")
        store: Any = torch.distributed.TCPStore  # type: ignore[attr-defined]
        if self.rank == 0:
            self._store = store(host, 0, is_master=True, wait_for_workers=False, timeout=limit)
            trainer.strategy.broadcast(self._store.port)
        else:
            port = trainer.strategy.broadcast(0)
            self._store = store(host, port, is_master=False, timeout=limit)
        self._tell()
        trainer.strategy.barrier("watch")
        self._children = list(getattr(trainer.strategy.launcher, "procs", []))
        _release_children()
        threading.Thread(
            target=self._run, args=(n_ranks,), daemon=True, name="brainfm-rank-watch"
        ).start()

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Note that a batch is there."""
        self._note("computing a step")

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note that gradients are there."""
        self._note("updating weights")

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Note that a step is done."""
        self._note("waiting for the next batch, or saving")

    def on_validation_batch_end(self, *args: Any, **kwargs: Any) -> None:
        """Note that a batch of validation is done."""
        self._note("validation")

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Tell the others, or, if this is only the echo of another rank's end, say which it was."""
        if self._store is None or self._stop.is_set():
            return
        if isinstance(exception, SystemExit | KeyboardInterrupt):
            self._leave()
        elif is_lost_connection(exception):
            _end_after(ENDING_S + self.cfg.timeout_s)
            # The thread ends this process as soon as it is known which rank it was.
            self._stop.wait(self.cfg.timeout_s + 3 * self.cfg.period_s)
        else:
            text = " ".join(str(exception).split())
            self.beat.failed = f"{type(exception).__name__}: {text}"[:500]
            with contextlib.suppress(RuntimeError):  # rank 0 may have failed too, and gone
                self._tell()
            # Rank 0 takes the store along: the others have to hear of it before.
            time.sleep(3 * self.cfg.period_s if self.rank == 0 else 0.0)
            self._stop.set()
            _end_after(ENDING_S)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Take leave of the others; not before all are done, nor while one still listens."""
        if self._store is not None and not self._stop.is_set():
            trainer.strategy.barrier("done")
            self._leave()
            trainer.strategy.barrier("left")

    def _leave(self) -> None:
        self._stop.set()
        self.beat.left = True
        with contextlib.suppress(RuntimeError):  # rank 0 may have gone home first
            self._tell()

    def _note(self, doing: str) -> None:
        self.beat.done += 1
        self.beat.doing = doing

    def _tell(self) -> None:
        self.beat.count += 1
        self._store.set(f"beat/{self.rank}", self.beat.to_text())

    def _run(self, n_ranks: int) -> None:
        keys = [f"beat/{rank}" for rank in range(n_ranks)]
        while not self._stop.wait(self.cfg.period_s):
            try:
                self._tell()
                verdict = self._look(keys)
            except RuntimeError:
                if self._stop.is_set() or self.beat.failed:
                    return
                verdict = "rank 0 is gone: it was killed, or its machine is"
                self._end(verdict, speak=self.rank == 1)
            # A rank that failed itself ends by its own error.
            if verdict and not self.beat.failed and not self._stop.is_set():
                self._end(verdict, speak=self.rank == 0)

    def _look(self, keys: list[str]) -> str | None:
        if self.rank != 0:
            return self._store.get(VERDICT).decode() if self._store.check([VERDICT]) else None
        beats = [Beat.from_text(text) for text in self._store.multi_get(keys)]
        verdict = self._dead_child() or self._judge.look(beats)
        if verdict:
            self._store.set(VERDICT, verdict)
        return verdict

    def _dead_child(self) -> str | None:
        """Return which of the processes started by this one has ended, and how."""
        for rank, process in enumerate(self._children, start=1):
            status = process.poll()
            if status:
                how = signal.Signals(-status).name if status < 0 else f"status {status}"
                return f"rank {rank} (process {process.pid}) ended with {how}"
        return None

    def _end(self, verdict: str, *, speak: bool) -> NoReturn:
        if speak:
            print(f"{verdict}; {ADVICE}", file=sys.stderr, flush=True)
        if self.rank == 0:
            time.sleep(2 * self.cfg.period_s)  # the store ends with this process
        for process in self._children:
            with contextlib.suppress(OSError):
                process.kill()
        # The main thread may be in a collective that nothing interrupts.
        os._exit(1)


def is_lost_connection(error: BaseException) -> bool:
    """Tell whether an error is that of a collective whose other side has gone."""
    if isinstance(error, torch.distributed.DistError):
        return True
    words = r"gloo|nccl|connection (closed|reset|refused)|broken pipe|timed out waiting"
    return isinstance(error, RuntimeError) and bool(re.search(words, str(error), re.IGNORECASE))


def _end_after(seconds: float) -> None:
    """End this process then, whatever it waits for."""
    timer = threading.Timer(seconds, os._exit, args=(1,))
    timer.daemon = True
    timer.start()


def _release_children() -> None:
    """Keep the trainer's own observer from killing all processes without a word."""
    for thread in threading.enumerate():
        if thread.name == "child-process-observer":
            thread._child_processes = []  # type: ignore[attr-defined]
