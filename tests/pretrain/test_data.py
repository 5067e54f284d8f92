"""The data of stage 2: stored or computed codes give the same batches; sizes of batches."""

import csv

import pytest
import torch
from brainfm.pretrain.data import CodeData
from lightning import LightningModule, Trainer

from brainfm.augmentation import AugmentationConfig
from brainfm.checkpoints import save_checkpoint
from brainfm.cli import main
from brainfm.masked_model import MaskedBrainModel, MaskedModelConfig


@pytest.fixture(scope="module")
def made(noise_corpus, tiny_model, tmp_path_factory):
    """A corpus, a tokenizer and the folder of its codes."""
    folder = tmp_path_factory.mktemp("made")
    corpus = noise_corpus(folder / "corpus")
    checkpoint = save_checkpoint(tiny_model(masked=None), folder / "tokenizer")
    words = ["codes", str(corpus), "--tokenizer", str(checkpoint), "--out", str(folder / "codes")]
    assert main(words) == 0
    return folder


def stored(made, **settings):
    fields = {"context_s": 2.0, "windows_per_batch": 3} | settings
    return CodeData(str(made / "codes"), str(made / "corpus" / "split.json"), **fields)


def online(made, **settings):
    fields = {
        "context_s": 2.0,
        "windows_per_batch": 3,
        "online": True,
        "corpus": str(made / "corpus"),
        "tokenizer": str(made / "tokenizer"),
    } | settings
    return CodeData(**fields)


class Watcher(LightningModule):
    """Keeps the batches and the losses of a model that is never trained."""

    def __init__(self, data):
        super().__init__()
        torch.manual_seed(0)
        cfg = MaskedModelConfig(width=24, n_heads=2, depth=2)
        self.model = MaskedBrainModel(cfg, *data.code_vectors())
        self.automatic_optimization = False
        self.seen = []

    def training_step(self, batch, batch_idx):
        loss = self.model(batch.codes).logsumexp(-1).mean()
        loss.backward()
        self.seen.append((*batch, loss.detach()))

    def validation_step(self, batch, batch_idx):
        self.seen.append((*batch, self.model(batch.codes).logsumexp(-1).mean()))

    def configure_optimizers(self):
        return None


def watched(data, tmp_path, epochs=2):
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        default_root_dir=tmp_path,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        reload_dataloaders_every_n_epochs=1,
    )
    module = Watcher(data)
    trainer.fit(module, datamodule=data)
    return module.seen


def test_stored_and_computed_codes_are_one_training(made, tmp_path):
    expected, found = (watched(make(made), tmp_path) for make in (stored, online))
    assert len(expected) == len(found) > 6
    for a, b in zip(expected, found, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_augmentation_is_for_training_alone(made, tmp_path):
    varied = online(made, augmentation=AugmentationConfig(drop_channels=0.9, rotation_deg=40.0))
    plain, found = watched(stored(made), tmp_path), watched(varied, tmp_path)
    same = [torch.equal(a[0], b[0]) for a, b in zip(plain, found, strict=True)]
    trained = set(varied.indices("train"))
    is_training = [set(batch[1].tolist()) <= trained for batch in found]
    assert all(s for s, t in zip(same, is_training, strict=True) if not t)
    assert not any(s for s, t in zip(same, is_training, strict=True) if t)
    assert varied.summary()["augmentation"]["drop_channels"] == 0.9


def test_what_is_known_of_the_data_is_the_same(made):
    a, b = stored(made), online(made)
    for side in ("train", "validation", "test"):
        assert a.indices(side) == b.indices(side)
    assert a.summary() == b.summary()
    assert a.codes_digest == b.codes_digest
    assert a.context_frames == b.context_frames == 16
    assert a.seconds_per_frame == b.seconds_per_frame == 32 / 256
    assert a.names([2, 0, 2]) == b.names([2, 0, 2]) == ["rec0", "rec2"]
    assert a.tokenizer_record == b.tokenizer_record
    for x, y in zip(a.code_vectors(), b.code_vectors(), strict=True):
        assert torch.equal(x, y)


def test_the_unigram_online_is_that_of_windows(made):
    """Few recordings: one window of context from the middle of each."""
    data = online(made)
    counts = torch.ones(2, 8)
    for i in data.indices("train"):
        begin = (int(data.codes.n_frames[i]) - 16) // 2
        for token in stored(made).codes.read(i, begin, 16).reshape(-1, 2):
            counts[0, token[0]] += 1
            counts[1, token[1]] += 1
    expected = (counts / counts.sum(1, keepdim=True)).log()
    torch.testing.assert_close(data.unigram(), expected)


@pytest.mark.parametrize(
    ("accumulated", "global_batch", "expected"), [(1, 6, 6), (2, 6, 3), (3, 6, 2)]
)
def test_the_global_batch_is_divided(made, accumulated, global_batch, expected):
    data = stored(made, windows_per_batch=None, global_batch=global_batch)
    data.trainer = Trainer(
        accelerator="cpu", accumulate_grad_batches=accumulated, logger=False, max_steps=1
    )
    assert data.windows_per_batch == expected
    assert max(len(batch.codes) for batch in data.loader("train", shuffle=True)) == expected


def test_a_global_batch_that_cannot_be_divided(made):
    data = stored(made, windows_per_batch=None, global_batch=7)
    data.trainer = Trainer(accelerator="cpu", accumulate_grad_batches=2, logger=False, max_steps=1)
    with pytest.raises(ValueError, match=r"\(7\) is no multiple .*ranks \(1\) .*batches \(2\)"):
        data.train_dataloader()


def test_without_any_size_a_batch_has_eight_windows(made):
    assert stored(made, windows_per_batch=None).windows_per_batch == 8


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"global_batch": 8}, r"windows_per_batch \(3\) and data.global_batch \(8\)"),
        ({"windows_per_batch": 0}, "windows_per_batch must be at least 1, got 0"),
        ({"corpus": "corpus"}, "add --data.online true"),
        ({"augmentation": AugmentationConfig(shift_m=0.1)}, "add --data.online true"),
        ({"online": True, "corpus": "c", "tokenizer": "t"}, "leave one out"),
        ({"codes": None}, "data.codes is missing"),
        ({"split": None}, "data.split is missing"),
        ({"online": True, "codes": None, "corpus": "c"}, "needs --data.corpus.*--data.tokenizer"),
    ],
)
def test_settings_that_do_not_fit_together(made, settings, message):
    fields = {
        "codes": str(made / "codes"),
        "split": str(made / "corpus" / "split.json"),
        "windows_per_batch": 3,
    } | settings
    with pytest.raises(ValueError, match=message):
        CodeData(**fields)


def test_recordings_without_codes_are_on_no_side(made, tiny_model, tmp_path):
    """A tokenizer of EEG alone: every other recording also has magnetometers."""
    checkpoint = save_checkpoint(tiny_model(masked=None, types={"eeg": 0}), tmp_path / "eeg")
    words = ["codes", str(made / "corpus"), "--tokenizer", str(checkpoint)]
    assert main([*words, "--out", str(tmp_path / "codes")]) == 1
    data = CodeData(str(tmp_path / "codes"), str(made / "corpus" / "split.json"))
    assert data.names(data.indices("train")) == ["rec1"]
    assert data.names(data.indices("validation")) == ["rec3"]
    assert data.summary()["split_digest"] == stored(made).split.digest


@pytest.mark.slow
def test_by_the_command_both_have_one_loss_curve(made, tmp_path):
    """Weights, masks and windows follow from the seed, wherever the codes come from."""
    curves = []
    split = f"--data.split={made / 'corpus' / 'split.json'}"
    for name, source in (
        ("stored", [f"--data.codes={made / 'codes'}"]),
        (
            "online",
            [
                "--data.online=true",
                f"--data.corpus={made / 'corpus'}",
                f"--data.tokenizer={made / 'tokenizer'}",
            ],
        ),
    ):
        words = ["pretrain", "fit", "--config", "nano", split, *source, "--data.context_s=2"]
        words += ["--model.model.width=24", "--model.model.n_heads=2", "--model.model.depth=2"]
        words += ["--trainer.max_steps=6", "--trainer.val_check_interval=3"]
        words += ["--trainer.log_every_n_steps=1", "--trainer.enable_progress_bar=false"]
        assert main([*words, "--out", str(tmp_path / name)]) == 0
        (log,) = (tmp_path / name / "logs").glob("version_*/metrics.csv")
        with log.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        curves.append(
            {
                column: [row[column] for row in rows if row.get(column)]
                for column in ("train/loss", "validation/loss", "validation/loss_1")
            }
        )
        exported = tmp_path / f"{name}-checkpoint"
        assert main(["export", str(tmp_path / name), "--out", str(exported)]) == 0
    assert len(curves[0]["train/loss"]) == 6
    assert curves[0] == curves[1]
