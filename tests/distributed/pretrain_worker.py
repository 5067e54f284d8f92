"""One rank of ``brainfm pretrain fit`` with DATA/run.yaml; started by the tests beside it.

Usage: python pretrain_worker.py DATA RUN STRATEGY END WORDS... OUT, with the variables of torchrun.
END is ``never``, or RANK:STEP:WHAT, what this rank does to itself when that step is computed: the
name of a signal, or ``sleep``. Writes what the rank saw to OUT/<rank>.json.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

import torch
from lightning import Callback
from sharding_all import shard_all

from brainfm.cli import main as brainfm


class Diary(Callback):
    """Notes losses and ends the process where it is told to."""

    def __init__(self, end: str, out: str):
        self.end, self.out = end.split(":"), Path(out)
        self.notes = {"losses": [], "norms": [], "steps": []}

    def write(self, trainer):
        (self.out / f"{trainer.global_rank}.json").write_text(json.dumps(self.notes))

    def on_train_batch_start(self, trainer, module, batch, index):
        if self.end[:2] == [str(trainer.global_rank), str(trainer.global_step)]:
            if self.end[2] == "sleep":
                time.sleep(1000)
            os.kill(os.getpid(), getattr(signal, self.end[2]))

    def on_train_batch_end(self, trainer, module, outputs, batch, index):
        metrics = trainer.callback_metrics
        self.notes["steps"].append(trainer.global_step)
        self.notes["losses"].append(float(metrics["train/loss"]))
        self.notes["norms"].append(float(metrics.get("train/gradient_norm", "nan")))
        self.write(trainer)

    def on_train_end(self, trainer, module):
        codes = torch.arange(24).reshape(1, 3, 4, 2) % 8
        hidden = torch.zeros(1, 3, 4, dtype=torch.bool)
        hidden[..., 2] = True
        module.eval()
        with torch.no_grad():
            logits = module(codes, hidden)
        self.notes["logits"] = logits.flatten().tolist()
        self.notes["engine"] = type(trainer.strategy).__name__
        self.write(trainer)


def main(data, run, strategy, end, *rest):
    *words, out = rest
    shard_all()
    command = ["pretrain", "fit", "--config", "nano", "--config", f"{data}/run.yaml", "--out", run]
    command += [f"--trainer.devices={os.environ['LOCAL_WORLD_SIZE']}"]
    command += [f"--trainer.strategy={strategy}"]
    command += ["--trainer.callbacks+=pretrain_worker.Diary", f"--trainer.callbacks.end={end}"]
    command += [f"--trainer.callbacks.out={out}", *words]
    raise SystemExit(brainfm(command))


if __name__ == "__main__":
    main(*sys.argv[1:])
