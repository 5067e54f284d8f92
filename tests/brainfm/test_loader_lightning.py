"""The loader under the Trainer that will drive it: interrupted and resumed in mid-epoch."""

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint

from brainfm.corpus import Corpus
from brainfm.loader import WindowLoader


class Recorder(lightning.LightningModule):
    """Learn nothing, note which windows came."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen = []

    def training_step(self, batch, batch_idx):
        epoch = self.trainer.current_epoch
        places = zip(batch.recording.tolist(), batch.start.tolist(), strict=True)
        self.seen.append((epoch, batch_idx, tuple(places)))
        return (self.weight**2).sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class StopAt(Callback):
    def __init__(self, step):
        self.step = step

    # At the end of a batch it would come before the checkpoint callback, which is always last.
    def on_train_batch_start(self, trainer, *_):
        if trainer.global_step == self.step:
            raise KeyboardInterrupt


class Windows(lightning.LightningDataModule):
    """Keep one loader, and hand its state over before the Trainer asks for its length."""

    def __init__(self, folder, **settings):
        super().__init__()
        self.loader = WindowLoader(Corpus(folder), window_s=2.0, tokens_per_batch=60, **settings)

    def train_dataloader(self):
        return self.loader

    def state_dict(self):
        return self.loader.state_dict()

    def load_state_dict(self, state):
        self.loader.load_state_dict(state)


def fit(folder, tmp_path, *, epochs=2, stop=None, resume=None, **settings):
    module = Recorder()
    callbacks = [ModelCheckpoint(tmp_path, every_n_train_steps=1, save_last=True, save_top_k=0)]
    if stop is not None:
        callbacks.append(StopAt(stop))
    trainer = lightning.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        callbacks=callbacks,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        reload_dataloaders_every_n_epochs=1,
    )
    try:
        trainer.fit(module, Windows(folder, **settings), ckpt_path=resume)
    except (KeyboardInterrupt, SystemExit):
        assert stop is not None
    return module.seen


def places(seen):
    return [found for *_, found in seen]


@pytest.fixture(scope="module")
def whole(small_corpus, tmp_path_factory):
    """Two epochs without interruption."""
    return fit(small_corpus, tmp_path_factory.mktemp("whole"))


def test_every_epoch_has_all_batches_in_a_new_order(small_corpus, whole):
    n_batches = len(Windows(small_corpus).loader)
    assert [epoch for epoch, *_ in whole] == [0] * n_batches + [1] * n_batches
    assert whole[0][2] != whole[n_batches][2]


@pytest.mark.parametrize("stop", [7, "last", "next"])
def test_trainer_resumes_with_the_batch_after_the_checkpoint(small_corpus, tmp_path, whole, stop):
    n_batches = len(Windows(small_corpus).loader)
    stop = {"last": n_batches, "next": n_batches + 1}.get(stop, stop)
    before = fit(small_corpus, tmp_path, stop=stop)
    after = fit(small_corpus, tmp_path, resume=tmp_path / "last.ckpt", num_workers=stop % 2)
    assert len(before) == stop
    assert places(before + after) == places(whole)


def test_trainer_resumes_on_another_number_of_ranks(small_corpus, tmp_path, whole):
    before = fit(small_corpus, tmp_path, stop=10)
    checkpoint = tmp_path / "last.ckpt"
    resumed = [
        fit(small_corpus, tmp_path / str(r), resume=checkpoint, rank=r, world_size=2)
        for r in range(2)
    ]
    windows = {}
    for seen in (before, *resumed):
        for epoch, _, found in seen:
            windows.setdefault(epoch, []).extend(found)
    expected = {}
    for epoch, _, found in whole:
        expected.setdefault(epoch, []).extend(found)
    assert {e: sorted(w) for e, w in windows.items()} == {e: sorted(w) for e, w in expected.items()}
