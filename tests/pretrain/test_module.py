"""Stage 2 through the Trainer: it learns, validates without chance, and exports what it trained."""

import shutil

import pytest
import torch
from brainfm.pretrain.data import CodeData
from brainfm.pretrain.module import MaskedModule
from lightning import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from brainfm.checkpoints import load_checkpoint
from brainfm.encoder import Encoder
from brainfm.export import export_run
from brainfm.masked_model import MaskedModelConfig
from brainfm.masking import MaskConfig
from brainfm.optimisation import OptimizerConfig, rate_at


def data(made, **settings):
    fields = {"context_s": 2.0, "windows_per_batch": 3} | settings
    return CodeData(str(made / "codes"), str(made / "corpus" / "split.json"), **fields)


def module(seed=0, **changes):
    torch.manual_seed(seed)
    settings = {
        "model": MaskedModelConfig(width=24, n_heads=2, depth=2),
        "masking": MaskConfig(block_frames=2, block_sources=2),
        "optimizer": OptimizerConfig(lr=2e-3, warmup_steps=2),
    }
    return MaskedModule(**(settings | changes))


def trainer(folder, steps=5, **settings):
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


def test_what_was_trained_is_what_is_exported(made, tmp_path):
    stage = module()
    trainer(tmp_path / "run").fit(stage, datamodule=data(made))
    moved = tmp_path / "moved"  # a run can be exported wherever it went, without its codes
    shutil.move(tmp_path / "run", moved)
    export_run(moved, tmp_path / "out")
    loaded = load_checkpoint(tmp_path / "out")
    assert loaded.splits == (data(made).split,)
    codes = torch.randint(8, (2, 3, 16, 2), generator=torch.Generator().manual_seed(0))
    stage.eval()
    with torch.no_grad():
        expected = stage.model(codes)
        found = loaded.masked_model(codes)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(
        loaded.masked_model.features(codes), stage.model.features(codes), atol=1e-6, rtol=0
    )


def test_the_export_holds_the_tokenizer_of_the_codes(made, tmp_path):
    source = data(made)
    trainer(tmp_path / "run").fit(module(), datamodule=source)
    model = export_run(tmp_path / "run", tmp_path / "out")
    original = load_checkpoint(made / "tokenizer")
    for name, value in original.tokenizer.state_dict().items():
        assert torch.equal(model.tokenizer.state_dict()[name], value), name
    assert model.record.tokenizer == original.record.tokenizer
    assert model.record.processing == original.record.processing
    # 2 s in windows of 0.5 s without overlap, 4 frames each.
    assert model.record.training["context_frames"] == source.context_frames == 16
    trained = model.record.training["masked_model"]
    assert trained["steps"] == 5
    assert trained["recordings"] == 3
    assert trained["split_digest"] == source.split.digest


def test_the_export_encodes_recordings(made, tmp_path, head_sensors, brain_noise):
    trainer(tmp_path / "run").fit(module(), datamodule=data(made))
    export_run(tmp_path / "run", tmp_path / "out")
    recording = (brain_noise(4, 3.0), 256.0, head_sensors(["eeg"] * 4))
    features = Encoder.from_pretrained(tmp_path / "out").encode(recording)
    assert features.values.shape == (24, 3, 24)


def test_validation_has_no_chance_in_it(made, tmp_path):
    stage = module()
    runner = trainer(tmp_path)
    runner.fit(stage, datamodule=data(made))
    results = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        results.append(runner.validate(stage, datamodule=data(made), verbose=False)[0])
    assert results[0] == results[1]
    names = {f"{who}{what}" for who in ("", "unigram_", "copy_") for what in ("loss", "accuracy")}
    for name in names | {"usage", "perplexity"}:
        for level in (0, 1):
            assert f"validation/{name}_{level}" in results[0]


def test_the_unigram_is_that_of_the_training_codes(made):
    source = data(made)
    counts = torch.ones(2, 8)
    for i in source.indices("train"):
        for frame in source.codes.read(i).reshape(-1, 2):
            counts[0, frame[0]] += 1
            counts[1, frame[1]] += 1
    expected = (counts / counts.sum(1, keepdim=True)).log()
    torch.testing.assert_close(source.unigram(), expected)
    torch.testing.assert_close(source.unigram().exp().sum(1), torch.ones(2))


def test_the_seed_decides_the_run(made, tmp_path):
    ends = []
    for run, seed in (("a", 0), ("b", 0), ("c", 1)):
        stage = module()
        torch.manual_seed(seed)
        trainer(tmp_path / run, steps=3).fit(stage, datamodule=data(made))
        ends.append(stage.model.mask_token.detach().clone())
    assert torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[0], ends[2])


def test_it_learns_what_the_codes_tell(made, tmp_path):
    """Below the uniform guess of 8 codes, 2.08 nats; training codes, so memory is allowed."""
    stage = module(optimizer=OptimizerConfig(lr=1e-2, warmup_steps=5))
    runner = trainer(tmp_path, steps=60)
    runner.fit(stage, datamodule=data(made))
    logged = runner.validate(stage, datamodule=data(made), verbose=False)[0]
    assert logged["validation/loss"] < 2.06
    assert stage.model.codebooks.equal(data(made).code_vectors()[0])


def test_the_first_levels_alone_can_be_predicted(made, tmp_path):
    stage = module(model=MaskedModelConfig(width=24, n_heads=2, depth=2, predicted_levels=1))
    runner = trainer(tmp_path / "run", steps=2)
    runner.fit(stage, datamodule=data(made))
    logged = runner.validate(stage, datamodule=data(made), verbose=False)[0]
    assert "validation/accuracy_0" in logged
    assert "validation/accuracy_1" not in logged
    export_run(tmp_path / "run", tmp_path / "out")
    codes = torch.zeros(1, 3, 4, 2, dtype=torch.long)
    assert load_checkpoint(tmp_path / "out").masked_model(codes).shape == (1, 3, 4, 1, 8)


def test_a_run_continues_from_its_checkpoint(made, tmp_path):
    trainer(tmp_path, steps=2).fit(module(), datamodule=data(made))
    resumed = module(seed=9)
    runner = trainer(tmp_path, steps=4)
    last = str(tmp_path / "checkpoints" / "last.ckpt")
    runner.fit(resumed, datamodule=data(made), ckpt_path=last, weights_only=True)
    assert runner.global_step == 4


def test_what_training_logs(made, tmp_path):
    runner = trainer(tmp_path, steps=3, log_every_n_steps=1, gradient_clip_val=1e-6)
    runner.fit(module(), datamodule=data(made))
    found = runner.logged_metrics
    assert {f"train/{name}_{level}" for name in ("loss", "accuracy") for level in (0, 1)} <= {
        *found
    }
    assert found["train/gradient_norm"] > 1e-3  # before clipping
    assert found["train/lr"] == pytest.approx(2e-3 * rate_at(2, 3, OptimizerConfig(warmup_steps=2)))


def test_accumulated_batches_move_weights_as_the_whole_batch_does(made, tmp_path):
    """Windows of one step are the same, and so is what is hidden of them.

    A large eps keeps Adam from blowing rounding up where a gradient is all but zero.
    """
    ends = []
    for run, batches in (("whole", 1), ("parts", 3)):
        stage = module(optimizer=OptimizerConfig(lr=0.1, warmup_steps=1, eps=1e-2))
        runner = trainer(tmp_path / run, steps=2, accumulate_grad_batches=batches)
        torch.manual_seed(0)
        runner.fit(stage, datamodule=data(made, windows_per_batch=6 // batches))
        ends.append(stage.model.state_dict())
    for name, value in ends[0].items():
        torch.testing.assert_close(ends[1][name], value, atol=1e-5, rtol=1e-4)


def test_a_gradient_that_is_not_finite_moves_nothing(made, tmp_path, capsys):
    class Poison(Callback):
        def on_train_batch_start(self, trainer, stage, batch, batch_idx):
            self.before = stage.model.mask_token.detach().clone()
            factor = torch.inf if batch_idx == 1 else 1.0
            self.hook = stage.model.head.vectors.weight.register_hook(lambda grad: grad * factor)

        def on_train_batch_end(self, trainer, stage, outputs, batch, batch_idx):
            self.hook.remove()
            assert torch.equal(self.before, stage.model.mask_token) == (batch_idx == 1)

    runner = trainer(tmp_path, steps=3)
    runner.callbacks.append(Poison())
    runner.fit(module(), datamodule=data(made))
    assert "step 1 skipped: gradient not finite (1 in a row" in capsys.readouterr().err
    assert runner.global_step == 3


def test_losses_that_are_not_finite_end_the_run_and_name_recordings(made, tmp_path, capsys):
    class Poison(Callback):
        def on_train_start(self, trainer, stage):
            with torch.no_grad():
                stage.model.mask_token.fill_(torch.nan)

    runner = trainer(tmp_path, steps=9)
    runner.callbacks.append(Poison())
    with pytest.raises(ValueError, match=r"not finite in rec\d.*; that makes 2 in a row"):
        runner.fit(module(max_skipped_steps=2), datamodule=data(made))
    assert "step 0 skipped: signal or loss not finite in rec" in capsys.readouterr().err


def test_flags_reach_the_model_and_change_no_result(made, tmp_path):
    ends = []
    for run, flags in (("a", {}), ("b", {"activation_checkpointing": True})):
        stage = module(**flags)
        torch.manual_seed(0)
        trainer(tmp_path / run, steps=2).fit(stage, datamodule=data(made))
        assert stage.model.activation_checkpointing == bool(flags)
        ends.append(stage.model.state_dict())
    for name, value in ends[0].items():
        torch.testing.assert_close(ends[1][name], value)


def test_level_conditional_prediction_is_trained_and_exported(made, tmp_path):
    sizes = {"width": 24, "n_heads": 2, "depth": 2}
    stage = module(model=MaskedModelConfig(prediction="conditional", **sizes))
    runner = trainer(tmp_path / "run", steps=2)
    runner.fit(stage, datamodule=data(made))
    assert "validation/accuracy_1" in runner.validate(stage, datamodule=data(made))[0]
    loaded = export_run(tmp_path / "run", tmp_path / "out")
    codes = torch.randint(8, (2, 3, 16, 2), generator=torch.Generator().manual_seed(0))
    expected = stage.eval().model.predict(codes)
    assert torch.equal(loaded.masked_model.predict(codes), expected)


def test_spans_of_a_second(made, tmp_path):
    """Windows of 0.5 s hold four frames."""
    stage = module(masking=MaskConfig(kind="spans", block_s=1.0))
    trainer(tmp_path, steps=1).fit(stage, datamodule=data(made))
    assert stage.task.masking.frames == 8


def test_windows_of_the_tokenizer_may_overlap(make_codes, tmp_path):
    """By a quarter: the last of four frames shows what the next window begins with."""
    stage, source = module(), data(make_codes(overlap=0.25), context_s=1.0)
    seen = []

    class Look(Callback):
        def on_train_batch_end(self, trainer, stage, outputs, batch, batch_idx):
            task = stage.task.hide(batch, stage.masking_seed, batch_idx)
            seen.append((batch.start % 4, task.masked.chosen))

    runner = trainer(tmp_path, steps=4)
    runner.callbacks.append(Look())
    runner.fit(stage, datamodule=source)
    for phases, chosen in seen:
        for phase, row in zip(phases.tolist(), chosen, strict=True):
            joint = 3 - phase
            if joint < row.shape[1] - 1:
                assert torch.equal(row[:, joint], row[:, joint + 1])
    logged = runner.validate(stage, datamodule=source)[0]
    assert logged["validation/copy_loss"] < 3


@pytest.mark.parametrize(
    ("context_s", "frames"), [(0.1, 4), (0.5, 4), (0.99, 4), (1.0, 8), (3.0, 24)]
)
def test_the_context_is_whole_windows(made, context_s, frames):
    assert data(made, context_s=context_s).context_frames == frames
