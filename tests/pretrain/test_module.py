"""Stage 2 through the Trainer: it learns, validates without chance, and exports what it trained."""

import shutil

import pytest
import torch
from brainfm.pretrain.data import CodeData
from brainfm.pretrain.module import MaskedModule
from lightning import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from brainfm.checkpoints import load_checkpoint, save_checkpoint
from brainfm.codes import begin_codes, finish_codes, write_codes
from brainfm.corpus import Corpus
from brainfm.encoder import Encoder
from brainfm.export import export_run
from brainfm.masked_model import MaskedModelConfig
from brainfm.masking import MaskConfig
from brainfm.optimisation import OptimizerConfig


@pytest.fixture(scope="module")
def made(noise_corpus, tiny_model, tmp_path_factory):
    """A corpus and the folder of its codes."""
    folder = tmp_path_factory.mktemp("made")
    corpus = Corpus(noise_corpus(folder / "corpus"))
    checkpoint = save_checkpoint(tiny_model(masked=None), folder / "tokenizer")
    begin_codes(folder / "codes", checkpoint)
    encoder = Encoder.from_pretrained(checkpoint)
    for i in range(len(corpus)):
        write_codes(encoder, corpus, i, folder / "codes")
    finish_codes(folder / "codes", corpus)
    return folder


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
    for name in ("loss", "accuracy", "unigram_loss", "unigram_accuracy"):
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


@pytest.mark.parametrize(
    ("context_s", "frames"), [(0.1, 4), (0.5, 4), (0.99, 4), (1.0, 8), (3.0, 24)]
)
def test_the_context_is_whole_windows(made, context_s, frames):
    assert data(made, context_s=context_s).context_frames == frames
