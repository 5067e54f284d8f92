"""A training run that is killed, and goes on: the same losses and weights as without the kill."""

import os
import random
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

from brainfm.checkpoints import save_checkpoint
from brainfm.cli import main
from brainfm.training_log import read_training_log

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

STEPS, EVERY, VALIDATION = 17, 3, 5

ENDER = """
import os
import signal
import sys

import lightning


class Ender(lightning.Callback):
    \"\"\"Sends this process a signal at a moment of a step.\"\"\"

    def __init__(self, moment: str, step: int, number: int):
        self.moment, self.step, self.number = moment, step, number

    def _end(self, trainer, moment):
        if (moment, trainer.global_step) == (self.moment, self.step):
            os.kill(os.getpid(), self.number)
            self.step = -1

    def on_train_batch_start(self, trainer, *rest):
        self._end(trainer, "start")

    def on_after_backward(self, trainer, *rest):
        self._end(trainer, "gradients")

    def on_train_batch_end(self, trainer, *rest):
        self._end(trainer, "end")

    def on_validation_batch_end(self, trainer, *rest):
        if not trainer.sanity_checking:
            self._end(trainer, "validation")

    def on_save_checkpoint(self, trainer, *rest):
        if self.moment == "writing" and trainer.global_step >= self.step:
            flush = os.fsync
            os.fsync = lambda fd: (flush(fd), os.kill(os.getpid(), self.number))
"""


@pytest.fixture(scope="module")
def pretrain(noise_corpus, tiny_model, tmp_path_factory):
    """Return a function that runs ``brainfm pretrain fit`` in its own process."""
    folder = tmp_path_factory.mktemp("resume")
    corpus = noise_corpus(folder / "corpus", n=6, seconds=16.0)
    tokenizer = save_checkpoint(tiny_model(masked=None), folder / "tokenizer")
    words = ["codes", str(corpus), "--tokenizer", str(tokenizer), "--out", str(folder / "codes")]
    assert main(words) == 0
    (folder / "ender.py").write_text(ENDER)

    def run(out, *words, end=None, environment=()):
        command = [sys.executable, "-m", "brainfm.cli", "pretrain", "fit", "--config", "nano"]
        command += ["--data.codes", str(folder / "codes"), "--out", str(out)]
        command += ["--data.split", str(corpus / "split.json"), "--data.context_s=2"]
        command += ["--data.windows_per_batch=4", "--model.model.width=16", *words]
        command += ["--model.model.n_heads=2", "--model.model.depth=1"]
        command += [f"--trainer.max_steps={STEPS}", f"--trainer.val_check_interval={VALIDATION}"]
        command += [f"--checkpoints.every_steps={EVERY}", "--trainer.log_every_n_steps=1"]
        command += ["--trainer.enable_progress_bar=false"]
        if end:
            moment, step, number = end
            command += ["--trainer.callbacks+=ender.Ender", f"--trainer.callbacks.moment={moment}"]
            command += [f"--trainer.callbacks.step={step}", f"--trainer.callbacks.number={number}"]
        variables = {**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
        variables |= dict(environment)
        return subprocess.run(
            command, env=variables, check=False, capture_output=True, text=True, timeout=120
        )

    return run


@pytest.fixture(scope="module")
def unbroken(pretrain, tmp_path_factory):
    """A run that nothing stopped."""
    out = tmp_path_factory.mktemp("unbroken") / "run"
    done = pretrain(out)
    assert done.returncode == 0, done.stderr
    return out


def curves(run):
    columns = read_training_log(run).columns
    return {name: columns[name] for name in columns if "loss" in name or "accuracy" in name}


def last(run):
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)


def assert_same(run, unbroken):
    found, expected = curves(run), curves(unbroken)
    assert found.keys() == expected.keys()
    for name, series in expected.items():
        np.testing.assert_array_equal(found[name].steps, series.steps, err_msg=name)
        np.testing.assert_array_equal(found[name].values, series.values, err_msg=name)
    one, other = last(run), last(unbroken)
    assert one["global_step"] == other["global_step"] == STEPS
    for part in ("state_dict", "optimizer_states", "lr_schedulers", "random_states"):
        torch.testing.assert_close(one[part], other[part], rtol=0, atol=0)
    assert one["CodeData"] == other["CodeData"]


def test_killed_at_random_moments_the_curve_is_the_same(pretrain, unbroken, tmp_path):
    draw = random.Random(7)
    moments = ["start", "gradients", "end", "validation"]
    run = tmp_path / "run"
    for number in range(3):
        moment = moments.pop(draw.randrange(len(moments)))
        step = 5 * (number + 1) if moment == "validation" else 5 * number + draw.randrange(4, 8)
        killed = pretrain(run, end=(moment, step, int(signal.SIGKILL)))
        assert killed.returncode == -signal.SIGKILL, (moment, step, killed.stderr)
    done = pretrain(run)
    assert done.returncode == 0, done.stderr
    assert "continuing from step" in done.stdout
    assert_same(run, unbroken)


def test_killed_while_it_writes_the_file_before_is_used(pretrain, unbroken, tmp_path):
    run = tmp_path / "run"
    killed = pretrain(run, end=("writing", 9, int(signal.SIGKILL)))
    assert killed.returncode == -signal.SIGKILL
    assert len(list((run / "checkpoints").glob(".*.tmp"))) == 1
    # The newest whole one is damaged besides: the one before is taken, with a warning.
    newest = run / "checkpoints" / "last.ckpt"
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 255
    newest.write_bytes(content)
    done = pretrain(run)
    assert done.returncode == 0, done.stderr
    assert "last.ckpt is skipped: it is damaged" in " ".join(done.stderr.split())
    assert "continuing from step 5" in done.stdout
    assert list((run / "checkpoints").glob(".*.tmp")) == []
    assert_same(run, unbroken)


SLURM = {
    "SLURM_JOB_ID": "77",
    "SLURM_JOB_NAME": "brainfm",
    "SLURM_NTASKS": "1",
    "SLURM_PROCID": "0",
    "SLURM_LOCALID": "0",
    "SLURM_NODEID": "0",
}


@pytest.mark.parametrize(
    ("moment", "step", "number", "slurm"),
    [
        ("gradients", 7, signal.SIGTERM, False),
        ("validation", 10, signal.SIGUSR1, True),
    ],
)
def test_a_signal_saves_first(pretrain, unbroken, tmp_path, moment, step, number, slurm):
    run, asked = tmp_path / "run", tmp_path / "asked"
    scontrol = tmp_path / "bin" / "scontrol"
    scontrol.parent.mkdir()
    scontrol.write_text(f'#!/bin/sh\necho "$@" >> {asked}\n')
    scontrol.chmod(0o755)
    path = f"{scontrol.parent}:{os.environ['PATH']}"
    environment = SLURM | {"PATH": path} if slurm else {}
    stopped = pretrain(run, end=(moment, step, int(number)), environment=environment)
    assert stopped.returncode == 128 + number, stopped.stderr
    saved = step + 1 if moment == "gradients" else step
    lines = [line for line in stopped.stderr.splitlines() if number.name in line]
    assert len(lines) == 1
    assert f"stopped after step {saved}, saved in" in lines[0]
    assert last(run)["global_step"] == saved
    if slurm:
        assert asked.read_text() == "requeue 77\n"
        assert "job 77 is queued again" in stopped.stderr
    done = pretrain(run, environment=environment)
    assert f"continuing from step {saved}" in done.stdout
    assert_same(run, unbroken)
