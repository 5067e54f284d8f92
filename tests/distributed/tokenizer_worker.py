"""One rank of ``brainfm tokenizer fit``; started by the tests beside it.

Usage: python tokenizer_worker.py STRATEGY KIND CORPUS RUN OUT, with the variables of torchrun.
Writes what the quantizer holds at the end to OUT/<rank>.json.
"""

import hashlib
import json
import os
import sys
from pathlib import Path

from brainfm.tokenizer.module import TokenizerModule
from sharding_all import shard_all

from brainfm.cli import main as brainfm

SIZES = {
    "model": [
        "window=128",
        "n_filters=2",
        "ratios=[4,4,2]",
        "width=16",
        "n_sources=3",
        "n_heads=2",
        "quantizer.n_quantizers=2",
        "quantizer.codebook_size=9",
        "quantizer.scalar_levels=[3,3]",
        "quantizer.dead_below=0.5",
    ],
    "trainer": [
        "accelerator=cpu",
        "max_steps=6",
        "val_check_interval=3",
        "log_every_n_steps=1",
        "enable_progress_bar=false",
    ],
}


def digest(tensors):
    return hashlib.sha256(b"".join(t.numpy().tobytes() for t in tensors)).hexdigest()


def main(strategy, kind, corpus, run, out):
    shard_all()

    def report(module):
        quantizer = module.tokenizer.quantizer
        result = {
            "world_size": module.trainer.world_size,
            "strategy": type(module.trainer.strategy).__name__,
            "steps": module.global_step,
            "initialised": quantizer.initialised,
            "buffers": digest(quantizer.buffers()),
            "logged": sorted(module.trainer.logged_metrics),
        }
        (Path(out) / f"{os.environ['RANK']}.json").write_text(json.dumps(result))

    TokenizerModule.on_train_end = report
    words = ["tokenizer", "fit", "--config", "nano", "--data.corpus", corpus]
    words += ["--data.window_s=1", "--data.channel_seconds=20", "--model.quantize_after=2"]
    words += [f"--model.model.{setting}" for setting in SIZES["model"]]
    words += [f"--model.model.quantizer.kind={kind}"]
    words += [f"--trainer.{setting}" for setting in SIZES["trainer"]]
    words += [f"--trainer.devices={os.environ['WORLD_SIZE']}", f"--trainer.strategy={strategy}"]
    raise SystemExit(brainfm([*words, "--out", run]))


if __name__ == "__main__":
    main(*sys.argv[1:])
