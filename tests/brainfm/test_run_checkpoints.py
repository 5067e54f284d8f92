"""Which checkpoints a run keeps, when it writes them, and that they are read without pickle."""

import csv
import os

import pytest
import torch
from lightning import LightningDataModule, LightningModule, Trainer
from torch import nn

from brainfm.random_states import RandomStates, restore, states
from brainfm.run_checkpoints import CheckpointConfig, RunCheckpoints, RunFiles, duplicate
from brainfm.run_log import RunLog
from brainfm.run_signals import StopSignals


class Line(LightningModule):
    """One weight that learns a number; validation gives the losses it is told to."""

    def __init__(self, losses=()):
        super().__init__()
        self.net, self.losses = nn.Linear(1, 1), list(losses)

    def training_step(self, x, index):
        loss = (self.net(x) - torch.rand(1)).square().mean()
        self.log("train/loss", loss)
        return loss

    def validation_step(self, x, index):
        self.log("validation/loss", self.losses.pop(0))

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=0.1)


class Ones(LightningDataModule):
    def train_dataloader(self):
        return torch.utils.data.DataLoader(torch.ones(6, 1), batch_size=1)

    def val_dataloader(self):
        return torch.utils.data.DataLoader(torch.ones(1, 1), batch_size=1)


def fit(folder, module=None, *, cfg=None, start=None, loggers=False, **settings):
    cfg = cfg or CheckpointConfig(every_minutes=None)
    signals = StopSignals()
    guards = [RandomStates(), signals, RunCheckpoints(folder, cfg, signals)]
    fields = {"max_steps": 9, "val_check_interval": 3, "check_val_every_n_epoch": None} | settings
    trainer = Trainer(
        accelerator="cpu",
        callbacks=guards,
        plugins=[RunFiles()],
        logger=loggers,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
        **fields,
    )
    trainer.fit(module or Line([3.0, 1.0, 2.0]), Ones(), ckpt_path=start)
    return trainer


def step_of(path):
    return torch.load(path, weights_only=True)["global_step"]


def test_last_best_and_every_n_are_kept(tmp_path):
    fit(tmp_path, cfg=CheckpointConfig(every_minutes=None, keep_every=4))
    steps = {path.stem: step_of(path) for path in tmp_path.glob("*.ckpt")}
    assert steps == {"last": 9, "best": 6, "step-4": 4, "step-8": 8}
    assert list(tmp_path.glob(".*")) == []


def test_a_second_name_keeps_its_content_when_the_first_is_replaced(tmp_path):
    source, target = tmp_path / "last.ckpt", tmp_path / "best.ckpt"
    RunFiles().save_checkpoint({"global_step": 1}, source)
    duplicate(source, target)
    RunFiles().save_checkpoint({"global_step": 2}, source)
    assert (step_of(source), step_of(target)) == (2, 1)


def test_where_links_are_impossible_the_file_is_copied(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    RunFiles().save_checkpoint({"global_step": 1}, tmp_path / "last.ckpt")
    duplicate(tmp_path / "last.ckpt", tmp_path / "best.ckpt")
    assert step_of(tmp_path / "best.ckpt") == 1


def test_the_best_loss_is_remembered_over_a_restart(tmp_path):
    fit(tmp_path, max_steps=6)
    assert step_of(tmp_path / "best.ckpt") == 6
    fit(tmp_path, Line([2.0]), start=str(tmp_path / "last.ckpt"))
    assert step_of(tmp_path / "best.ckpt") == 6
    assert step_of(tmp_path / "last.ckpt") == 9


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_is_never_the_best(tmp_path, loss):
    fit(tmp_path, Line([1.0, loss, loss]))
    assert step_of(tmp_path / "best.ckpt") == 3


def test_nothing_is_written_between_accumulated_batches(tmp_path, monkeypatch):
    written = []
    save = RunFiles.save_checkpoint

    def note(self, checkpoint, path, storage_options=None):
        progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]["current"]
        written.append((checkpoint["global_step"], progress["ready"]))
        save(self, checkpoint, path)

    monkeypatch.setattr(RunFiles, "save_checkpoint", note)
    cfg = CheckpointConfig(every_minutes=None, every_steps=1)
    fit(tmp_path, cfg=cfg, accumulate_grad_batches=2, max_steps=2, val_check_interval=100)
    assert written == [(1, 2), (2, 4)]


def test_time_alone_writes_too(tmp_path):
    cfg = CheckpointConfig(every_minutes=1e-9)
    fit(tmp_path, cfg=cfg, max_steps=2, limit_val_batches=0)
    assert step_of(tmp_path / "last.ckpt") == 2


def test_a_file_with_objects_is_refused(tmp_path):
    path = tmp_path / "last.ckpt"
    torch.save({"global_step": 1, "object": Line()}, path)
    with pytest.raises(ValueError, match="no readable file of tensors"):
        RunFiles().load_checkpoint(path)


def test_a_saved_step_is_in_the_log_before_its_checkpoint(tmp_path):
    """Whoever goes on after the checkpoint does not log that step again."""
    seen = []

    class Reader(RunFiles):
        def save_checkpoint(self, checkpoint, path, storage_options=None):
            (log,) = (tmp_path / "logs").glob("version_0/metrics.csv")
            steps = [int(row["step"]) for row in csv.DictReader(log.open()) if row["train/loss"]]
            seen.append((checkpoint["global_step"], steps))
            super().save_checkpoint(checkpoint, path)

    signals = StopSignals()
    cfg = CheckpointConfig(every_minutes=None, every_steps=2)
    Trainer(
        accelerator="cpu",
        callbacks=[signals, RunCheckpoints(tmp_path, cfg, signals)],
        plugins=[Reader()],
        logger=RunLog(tmp_path, "logs"),
        max_steps=4,
        limit_val_batches=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
    ).fit(Line(), Ones())
    assert seen == [(2, [0, 1]), (4, [0, 1, 2, 3])]


def test_a_longer_header_replaces_the_log_at_once(tmp_path, monkeypatch):
    log = RunLog(tmp_path, "logs")
    log.log_metrics({"a": 1.0}, step=0)
    log.log_metrics({"a": 1.0}, step=0)  # the same row again
    log.save()
    log.log_metrics({"a": 2.0, "b": 3.0}, step=1)

    def fail(*_):
        raise OSError("disk full")

    path = tmp_path / "logs" / "version_0" / "metrics.csv"
    before = path.read_text()
    with monkeypatch.context() as broken:
        broken.setattr(os, "replace", fail)
        with pytest.raises(OSError, match="disk full"):
            log.save()
    assert path.read_text() == before
    log.experiment.metrics_keys.remove("b")  # as if the failed attempt had not been
    log.save()
    rows = list(csv.DictReader(path.open()))
    assert [(row["a"], row["b"]) for row in rows] == [("1.0", ""), ("2.0", "3.0")]


def test_random_states_come_back_exactly(tmp_path):
    import random

    import numpy as np

    cpu = torch.device("cpu")
    torch.randn(3)
    saved = states(cpu)
    path = tmp_path / "states"
    torch.save(saved, path)

    def draw():
        legacy = np.random.standard_normal(3).tolist()  # noqa: NPY002
        return torch.randn(3).tolist(), legacy, random.gauss(0, 1), random.random()

    first = draw()
    restore(torch.load(path, weights_only=True), cpu)
    assert draw() == first


@pytest.mark.parametrize("field", ["every_steps", "every_minutes", "keep_every"])
def test_intervals_are_positive(field):
    with pytest.raises(ValueError, match=f"{field} must be positive or null, got 0"):
        CheckpointConfig(**{field: 0})
