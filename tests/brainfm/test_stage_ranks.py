"""A stage's command on two ranks, and a checkpoint of one rank resumed on them in mid-epoch."""

import os
import subprocess
import sys
from collections import Counter

import pytest
import torch

CALLBACK = """
import os

import lightning


class Diary(lightning.Callback):
    def __init__(self, path: str, stop: int = -1):
        self.path, self.stop = path, stop

    def on_train_batch_start(self, trainer, module, batch, index):
        if trainer.global_step == self.stop:
            raise KeyboardInterrupt
        places = zip(batch.recording.tolist(), batch.start.tolist())
        with open(f"{self.path}.{trainer.global_rank}", "a") as file:
            for recording, start in places:
                file.write(f"{trainer.current_epoch} {trainer.global_step} {recording} {start}\\n")
"""

TINY = [
    "--model.model.window=128",
    "--model.model.n_filters=2",
    "--model.model.ratios=[4,4,2]",
    "--model.model.width=16",
    "--model.model.n_sources=3",
    "--model.model.n_heads=2",
    "--model.model.quantizer.n_quantizers=2",
    "--model.model.quantizer.codebook_size=8",
    "--model.quantize_after=2",
    "--data.window_s=1",
    "--data.channel_seconds=16",
    "--trainer.max_steps=-1",
    "--trainer.max_epochs=1",
    "--trainer.val_check_interval=2",
    "--trainer.limit_val_batches=1",
    "--trainer.enable_progress_bar=false",
    "--trainer.callbacks+=diary.Diary",
]


@pytest.mark.slow
@pytest.mark.distributed
def test_a_run_of_one_rank_goes_on_with_two(noise_corpus, tmp_path):
    corpus = noise_corpus(tmp_path / "corpus", n=5, seconds=12.0)
    (tmp_path / "diary.py").write_text(CALLBACK)

    def fit(run, *words):
        command = [sys.executable, "-m", "brainfm.cli", "tokenizer", "fit", "--config", "nano"]
        command += ["--data.corpus", str(corpus), "--out", str(tmp_path / run), *TINY]
        command += [f"--trainer.callbacks.path={tmp_path / run}.seen", *words]
        environment = {**os.environ, "PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"}
        return subprocess.run(
            command, env=environment, check=False, capture_output=True, text=True, timeout=200
        )

    def seen(pattern, before=10**6):
        rows = [
            line.split()
            for path in sorted(tmp_path.glob(pattern))
            for line in path.read_text().splitlines()
        ]
        return Counter((int(r), int(s)) for _, step, r, s in rows if int(step) < before)

    fit("one", "--trainer.callbacks.stop=5")
    last = tmp_path / "one" / "checkpoints" / "last.ckpt"
    step = torch.load(last, weights_only=True)["global_step"]
    assert 2 <= step <= 5
    two = fit(
        "two",
        *("--ckpt_path", str(last), "--trainer.devices=2", "--trainer.strategy=ddp"),
    )
    assert two.returncode == 0, two.stderr[-2000:]
    assert "LightningCLI's args" not in two.stderr
    assert len(list(tmp_path.glob("two.seen.*"))) == 2
    # One second at 256 Hz from 12-s recordings: every window of the epoch once, whoever read it.
    windows = seen("one.seen.*", before=step) + seen("two.seen.*")
    train = {recording for recording, _ in windows}
    assert len(windows) == 12 * len(train)
    assert set(windows.values()) == {1}
