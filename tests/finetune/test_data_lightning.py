"""The data module inside Lightning, and several at once."""

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import torch
from lightning import Callback, LightningModule, Trainer

from brainfm.processing_config import ProcessingConfig


class Seen(LightningModule):
    """Looks at batches and learns a single number."""

    def __init__(self):
        super().__init__()
        self.backbone = SimpleNamespace(processing=ProcessingConfig())
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.steps, self.validated = [], []

    def training_step(self, batch, batch_idx):
        assert batch.features is None
        self.steps.append(batch.trial.tolist())
        return (self.weight - batch.signal.x.mean()) ** 2

    def validation_step(self, batch, batch_idx):
        self.validated += batch.trial.tolist()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def trainer(folder, **settings):
    return Trainer(
        accelerator="cpu",
        default_root_dir=folder,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        reload_dataloaders_every_n_epochs=1,
        **settings,
    )


def test_lightning_takes_the_batches_as_they_are(planted_data, tmp_path, capsys):
    data, module = planted_data(), Seen()
    trainer(tmp_path, max_epochs=2, enable_checkpointing=False).fit(module, datamodule=data)
    train = data.indices("train").tolist()
    first, second = module.steps[:3], module.steps[3:]
    for epoch in (first, second):
        assert sorted(k for batch in epoch for k in batch) == train
    assert first != second
    assert module.validated == 2 * data.indices("validation").tolist()
    assert "training on 24 trials in 3 batches" in capsys.readouterr().out


def test_a_run_that_was_cut_off_in_an_epoch_goes_on_in_it(planted_data, tmp_path):
    class Save(Callback):
        def on_train_batch_end(self, trainer, module, *_):
            if trainer.global_step == 2:
                trainer.save_checkpoint(tmp_path / "cut.ckpt")

    whole, settings = Seen(), {"max_steps": 6, "enable_checkpointing": False}
    trainer(tmp_path, callbacks=[Save()], **settings).fit(whole, datamodule=planted_data())
    resumed = Seen()
    trainer(tmp_path, **settings).fit(
        resumed, datamodule=planted_data(), ckpt_path=tmp_path / "cut.ckpt"
    )
    assert len(whole.steps) == 6
    assert resumed.steps == whole.steps[2:]
    torch.testing.assert_close(resumed.weight, whole.weight, rtol=0, atol=0)


def test_a_split_without_validation_trains_without(planted_data, tmp_path):
    from brainfm.trial_splits import TrialSplitConfig

    data = planted_data(split=TrialSplitConfig(by="subject", validation=0.0))
    module = Seen()
    trainer(tmp_path, max_epochs=1, enable_checkpointing=False).fit(module, datamodule=data)
    assert module.validated == []
    assert len(data.indices("train")) == 48


def test_runs_that_begin_at_once_prepare_once(planted_data, tmp_path):
    def prepare(fold):
        data = planted_data(fold=fold, cache=str(tmp_path / "cache"))
        data.prepare(ProcessingConfig())
        return data

    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(prepare, range(3)))
    assert len({data.trials.digest for data in found}) == 1
    assert len({data.split.digest for data in found}) == 1


def test_without_a_folder_named_the_corpus_lies_in_the_run(planted_data, tmp_path):
    data = planted_data(cache=None)
    settings = {"max_epochs": 1, "enable_checkpointing": False}
    trainer(tmp_path / "run" / "fold-0", **settings).fit(Seen(), datamodule=data)
    assert data.corpus.path.parent == tmp_path / "run" / "corpus"
