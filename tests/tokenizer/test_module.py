"""Stage 1 through the Trainer: it learns, validates without chance, and exports what it trained."""

import pytest
import torch
from brainfm.tokenizer.data import WindowData
from brainfm.tokenizer.module import TokenizerModule
from lightning import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from brainfm.augmentation import AugmentationConfig
from brainfm.checkpoints import checkpoint_splits, load_checkpoint
from brainfm.export import export_run
from brainfm.objective import ObjectiveConfig
from brainfm.optimisation import OptimizerConfig


@pytest.fixture(scope="module")
def corpus(noise_corpus, tmp_path_factory):
    return noise_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture
def module(tokenizer_config):
    def make(seed=0, **changes):
        torch.manual_seed(seed)
        settings = {
            "model": tokenizer_config(),
            "objective": ObjectiveConfig(),
            "optimizer": OptimizerConfig(lr=1e-3, warmup_steps=2),
            "quantize_after": 3,
        }
        return TokenizerModule(**(settings | changes))

    return make


def data(corpus):
    return WindowData(str(corpus), window_s=1.0, channel_seconds=40.0)


def trainer(folder, steps=6, **settings):
    keep = ModelCheckpoint(dirpath=folder / "checkpoints", filename="best", save_last=True)
    return Trainer(
        accelerator="cpu",
        max_steps=steps,
        default_root_dir=folder,
        callbacks=[keep],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **settings,
    )


def evaluation_batch(corpus):
    loaded = data(corpus)
    loaded.trainer = trainer(corpus)
    batch = next(iter(loaded.val_dataloader()))
    return loaded.transfer_batch_to_device(batch, torch.device("cpu"), 0)


def test_what_was_trained_is_what_is_exported(corpus, module, tmp_path):
    stage = module()
    start = {name: p.clone() for name, p in stage.tokenizer.named_parameters()}
    trainer(tmp_path / "run").fit(stage, datamodule=data(corpus))
    moved = {
        name for name, p in stage.tokenizer.named_parameters() if not torch.equal(p, start[name])
    }
    assert len(moved) > 0.95 * len(start)
    assert stage.tokenizer.quantizer.initialised
    export_run(tmp_path / "run", tmp_path / "out")
    loaded = load_checkpoint(tmp_path / "out")
    batch = evaluation_batch(corpus)
    stage.eval()
    with torch.no_grad():
        expected = stage(batch)
        tokenizer = loaded.tokenizer
        sensors = tokenizer.embed_sensors(
            batch.positions, batch.orientations, batch.types, batch.mask
        )
        found = tokenizer(tokenizer.cut(batch.x, 0.0), sensors, sensors)
    torch.testing.assert_close(found.waveform, expected.waveform, atol=1e-6, rtol=0)
    assert torch.equal(found.quantized.codes, expected.quantized.codes)


def test_the_export_says_what_it_was_trained_on(corpus, module, tmp_path):
    source = data(corpus)
    trainer(tmp_path / "run").fit(module(), datamodule=source)
    (tmp_path / "more.md").write_text("## Probes\n\nnone\n")
    sections = [tmp_path / "more.md"]
    record = export_run(tmp_path / "run", tmp_path / "out", sections=sections).record
    assert record.masked_model is None
    assert record.processing == source.processing
    trained = record.training["tokenizer"]
    assert trained["steps"] == 6
    assert trained["recordings"] == 3
    assert trained["subjects"] == 3
    assert trained["corpus_digest"] == source.corpus.digest
    assert trained["split_digest"] == source.split.digest
    (row,) = trained["datasets"]
    assert (row["name"], row["licence"], row["recordings"]) == ("noise", "unknown", 3)
    assert row["hours"] == trained["hours"] > 0
    card = (tmp_path / "out" / "README.md").read_text()
    assert source.corpus.digest in card
    assert "\n## Probes\n\nnone\n" in card
    assert checkpoint_splits(tmp_path / "out") == [source.split]


def test_validation_has_no_chance_in_it(corpus, module, tmp_path):
    stage = module()
    runner = trainer(tmp_path)
    runner.fit(stage, datamodule=data(corpus))
    results = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        results.append(runner.validate(stage, datamodule=data(corpus), verbose=False)[0])
    assert results[0] == results[1]
    logged = results[0]
    assert {"validation/loss", "validation/error", "validation/correlation"} <= set(logged)
    assert {"validation/correlation_eeg", "validation/correlation_mag"} <= set(logged)
    assert "validation/correlation_planar" not in logged
    assert 0 < logged["validation/usage_0"] <= 1
    assert logged["validation/bits_per_second_0"] > 0
    assert 1 <= logged["validation/perplexity_1"] <= 8
    # Three sources, 256 / 32 frames a second, at most 3 bits.
    assert 0 <= logged["validation/bits_per_second_0"] <= 3 * 8 * 3
    assert logged["validation/error_of_zero"] > 0


def test_the_seed_decides_the_run(corpus, module, tmp_path):
    ends = []
    for run, seed in (("a", 0), ("b", 0), ("c", 1)):
        stage = module(seed)
        torch.manual_seed(seed)
        trainer(tmp_path / run, steps=4).fit(stage, datamodule=data(corpus))
        ends.append(stage.tokenizer.gather.queries.detach().clone())
    assert torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[0], ends[2])


def test_the_loss_falls(corpus, module, tmp_path):
    stage = module(optimizer=OptimizerConfig(lr=5e-3, warmup_steps=2), quantize_after=1000)
    runner = trainer(tmp_path, steps=25)
    before = trainer(tmp_path).validate(stage, datamodule=data(corpus), verbose=False)[0]
    runner.fit(stage, datamodule=data(corpus))
    after = runner.validate(stage, datamodule=data(corpus), verbose=False)[0]
    # Without codes it has a name of its own: no checkpoint from before them can be the best.
    assert "validation/loss" not in before | after
    assert after["validation/loss_without_codes"] < before["validation/loss_without_codes"]


def test_codebooks_come_in_when_they_are_due(corpus, module, tmp_path, capsys):
    early = module(quantize_after=50)
    trainer(tmp_path / "early", steps=2).fit(early, datamodule=data(corpus))
    assert not early.tokenizer.quantizer.initialised
    assert "training ends after 2 steps, before codebooks come in" in capsys.readouterr().err
    with pytest.raises(ValueError, match="codebooks have not been set yet; train past"):
        export_run(tmp_path / "early", tmp_path / "out")
    at_once = module(quantize_after=0)
    runner = trainer(tmp_path / "at_once", steps=1)
    runner.fit(at_once, datamodule=data(corpus))
    assert at_once.tokenizer.quantizer.initialised
    assert "before codebooks" not in capsys.readouterr().err
    assert "validation/loss" in runner.validate(at_once, datamodule=data(corpus), verbose=False)[0]


def test_a_run_continues_from_its_checkpoint(corpus, module, tmp_path):
    stage = module()
    trainer(tmp_path, steps=4).fit(stage, datamodule=data(corpus))
    resumed = module(seed=9)
    runner = trainer(tmp_path, steps=7)
    last = str(tmp_path / "checkpoints" / "last.ckpt")
    runner.fit(resumed, datamodule=data(corpus), ckpt_path=last, weights_only=True)
    assert runner.global_step == 7
    assert resumed.tokenizer.quantizer.initialised


@pytest.mark.parametrize("objective", ["brainfm", "brainomni"])
def test_a_window_with_one_channel_trains(module, corpus, objective):
    batch = evaluation_batch(corpus)
    mask = torch.zeros_like(batch.mask)
    mask[:, 0] = True
    batch = batch._replace(mask=mask)
    stage = module(quantize_after=10**6, objective=objective).train()
    stage.log = stage.log_dict = lambda *args, **kwargs: None
    loss = stage.training_step(batch, 0)
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(p.grad).all() for p in stage.parameters() if p.grad is not None)
    assert stage.tokenizer.encoder.analysis.linear.weight.grad.any()


@pytest.mark.parametrize("objective", ["brainfm", "brainomni"])
def test_every_term_its_share_and_the_gradient_are_logged(corpus, module, tmp_path, objective):
    stage = module(objective=objective)
    runner = trainer(tmp_path, steps=4, log_every_n_steps=1, gradient_clip_val=1e-3)
    runner.fit(stage, datamodule=data(corpus))
    logged = {name: float(value) for name, value in runner.logged_metrics.items()}
    terms = stage.objective.recipe.weights
    assert {f"train/{name}" for name in terms} <= set(logged)
    assert sum(logged[f"train/share_{name}"] for name in terms) == pytest.approx(1.0)
    weighted = sum(weight * logged[f"train/{name}"] for name, weight in terms.items())
    assert weighted == pytest.approx(logged["train/loss"], rel=1e-5)
    assert logged["train/gradient_norm"] > 1e-3  # before clipping


class Spoilt(WindowData):
    """Windows of which the first sample of the second and third batch is not finite."""

    step = 0

    def on_after_batch_transfer(self, batch, dataloader_idx):
        self.step += 1
        if self.step in (2, 3):
            x = batch.x.clone()
            x[0, 0, 5] = torch.nan
            batch = batch._replace(x=x)
        return batch


def test_a_broken_window_is_skipped_and_named(corpus, module, tmp_path, capsys):
    stage = module(quantize_after=0, max_skipped_steps=3)
    source = Spoilt(str(corpus), window_s=1.0, channel_seconds=40.0)
    trainer(tmp_path, steps=4).fit(stage, datamodule=source)
    lines = [line for line in capsys.readouterr().err.splitlines() if "skipped" in line]
    assert len(lines) == 2
    assert all("signal or loss not finite in rec" in line for line in lines)
    assert all(torch.isfinite(p).all() for p in stage.parameters())
    assert torch.isfinite(stage.tokenizer.quantizer.codebooks).all()


def test_too_many_broken_windows_end_the_run(corpus, module, tmp_path):
    source = Spoilt(str(corpus), window_s=1.0, channel_seconds=40.0)
    with pytest.raises(ValueError, match="that makes 2 in a row"):
        trainer(tmp_path, steps=4).fit(module(max_skipped_steps=2), datamodule=source)


def test_augmented_arrays_train(corpus, module, tmp_path):
    augmentation = AugmentationConfig(
        rotation_deg=5, shift_m=0.003, jitter_m=0.002, drop_channels=0.3, region_probability=0.5
    )
    stage = module(augmentation=augmentation)
    trainer(tmp_path, steps=4).fit(stage, datamodule=data(corpus))
    assert all(torch.isfinite(p).all() for p in stage.parameters())


def test_an_export_without_a_run(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no checkpoints/last.ckpt"):
        export_run(tmp_path, tmp_path / "out")
    with pytest.raises(FileNotFoundError, match=r"first.ckpt, and first is no file"):
        export_run(tmp_path, tmp_path / "out", which="first")


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_impossible_settings_are_refused(module, share):
    with pytest.raises(ValueError, match="hidden_channels must lie in"):
        module(hidden_channels=share)


def test_samples_of_part_of_a_window_are_refused(corpus, module, tmp_path):
    # Windows of the tiny tokenizer last 0.5 s.
    uneven = WindowData(str(corpus), window_s=0.75, channel_seconds=40.0)
    with pytest.raises(ValueError, match=r"window_s is 0\.75 s, which is no multiple"):
        trainer(tmp_path).fit(module(), datamodule=uneven)
