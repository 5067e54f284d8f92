"""What the speed callback logs: rates that fit the clock, waiting where there is waiting."""

import time

import pytest
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.loggers import Logger
from torch.utils.data import DataLoader, Dataset

from brainfm.training_speed import BatchWork, TrainingSpeed, memory_peak

STEP_S, READ_S = 0.02, 0.03


class SlowNumbers(Dataset):
    def __init__(self, n, seconds):
        self.n, self.seconds = n, seconds

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        time.sleep(self.seconds)
        return torch.ones(1)


class Sleeper(LightningModule):
    """Takes a known time for a step that amounts to 100 tokens, 2 s of signal, a million FLOPs."""

    def __init__(self, validation_s=0.0):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.validation_s = validation_s

    def training_step(self, batch, batch_idx):
        time.sleep(STEP_S)
        return self.layer(batch).sum()

    def validation_step(self, batch, batch_idx):
        time.sleep(self.validation_s)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.0)

    def work(self, batch):
        return BatchWork(100, 2.0, 1e6)


class Kept(Logger):
    """Keeps what is logged."""

    name, version = "kept", 0

    def __init__(self):
        super().__init__()
        self.rows = []

    def log_metrics(self, metrics, step=None):
        if any(name.startswith("speed/") for name in metrics):
            self.rows.append((step, metrics))

    def log_hyperparams(self, *args, **kwargs):
        pass


def fit(module=None, *, steps=12, read_s=0.0, validation=None, **settings):
    kept = Kept()
    trainer = Trainer(
        accelerator="cpu",
        max_steps=steps,
        max_epochs=-1,
        logger=kept,
        callbacks=[TrainingSpeed()],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **{"log_every_n_steps": 5, "barebones": False} | settings,
    )
    trainer.fit(module or Sleeper(), DataLoader(SlowNumbers(100, read_s)), validation)
    return kept.rows


def test_rates_fit_the_clock():
    rows = fit()
    assert [step for step, _ in rows] == [4, 9]
    for _, found in rows:
        rate = found["speed/tokens_per_second"]
        assert 0.3 * 100 / STEP_S < rate <= 100 / STEP_S
        assert found["speed/signal_hours_per_second"] == pytest.approx(rate / 100 * 2 / 3600)
        assert 0 < found["speed/matmul_share"] < 1
        assert found["speed/data_wait_share"] < 0.5
        assert found["speed/memory_gb"] > 0.05


def test_waiting_for_data_is_seen():
    ((_, found),) = fit(steps=6, read_s=READ_S)
    assert READ_S < found["speed/data_wait_s"] < 5 * READ_S
    share = READ_S / (READ_S + STEP_S)
    assert found["speed/data_wait_share"] == pytest.approx(share, abs=0.2)


def test_validation_is_no_waiting():
    """A second of validation after every second step."""
    validation = DataLoader(SlowNumbers(1, 0.0))
    rows = fit(Sleeper(1.0), steps=5, validation=validation, val_check_interval=2)
    assert rows[0][1]["speed/data_wait_s"] < 0.3


def test_accumulated_batches_count_and_steps_are_those_of_the_optimizer():
    rows = fit(steps=4, accumulate_grad_batches=3, log_every_n_steps=2)
    assert [step for step, _ in rows] == [1, 3]
    assert rows[1][1]["speed/tokens_per_second"] <= 100 / STEP_S


def test_a_module_that_cannot_count_is_refused():
    class Silent(Sleeper):
        work = None

    with pytest.raises(ValueError, match="Silent does not say what a batch amounts to"):
        fit(Silent())


def test_memory_is_at_least_what_is_held():
    before = memory_peak(torch.device("cpu"))
    held = torch.ones(2**26)
    assert memory_peak(torch.device("cpu")) > before or before > held.numel() * 4
