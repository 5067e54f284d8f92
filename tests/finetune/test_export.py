"""What leaves a fine-tuning run: a tuned encoder as a checkpoint, encoder and head as a graph."""

import numpy as np
import pytest
import torch
from brainfm.finetune.adapted_checkpoint import adapted_model, export_adapted
from brainfm.finetune.decoder import load_decoder
from brainfm.finetune.pretrained import Pretrained
from safetensors.torch import load_file

from brainfm.checkpoints import load_checkpoint, read_config, save_checkpoint
from brainfm.cli import main
from brainfm.pretraining_overlap import pretraining_overlap

FOLD = 1


@pytest.fixture(scope="module")
def checkpoint(tiny_model, tmp_path_factory):
    return save_checkpoint(tiny_model(), tmp_path_factory.mktemp("tiny") / "checkpoint")


@pytest.fixture(scope="module")
def tuned(planted_folder, checkpoint, tmp_path_factory):
    """Return a run, fitted once for each kind of adaptation and features."""
    folder, made = tmp_path_factory.mktemp("runs"), {}

    def of(kind, features="both"):
        out = folder / f"{kind}-{features}"
        if out in made:
            return out
        words = {
            "data.source": "brainfm.finetune.recording_sources.Files",
            "data.source.root": planted_folder,
            "data.source.files": '["*_raw.fif"]',
            "data.source.dataset": "synthetic",
            "data.trials.window": "[0.0, 1.0]",
            "data.split.by": "subject",
            "data.split.folds": 2,
            "data.split.validation": 0.0,
            "data.cache": planted_folder.parent / "cache",
            "model.backbone": "brainfm.finetune.pretrained.Pretrained",
            "model.backbone.checkpoint": checkpoint,
            "model.backbone.features": features,
            "model.head": "brainfm.finetune.classification.Classification",
            "model.adaptation.kind": kind,
            "model.adaptation.backbone_rate": 1.0,
            "model.optimizer.lr": 0.05,
            "model.optimizer.warmup_steps": 1,
            "trainer.max_epochs": 2,
            "trainer.accelerator": "cpu",
            "trainer.enable_progress_bar": "false",
        }
        line = [f"--{name}={value}" for name, value in words.items()]
        assert main(["finetune", "fit", *line, "--out", str(out)]) == 0
        made[out] = True
        return out

    return of


def trials_of(decoder):
    """Return the batch that the decoder was built with, with noise for a signal."""
    example = decoder.record.example
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(example.signal.x.shape, generator=generator)
    mask = example.signal.mask.unsqueeze(-1)
    return example._replace(signal=example.signal._replace(x=x.where(mask, 0.0)))


def features_of(backbone, batch):
    with torch.no_grad():
        return backbone.eval()(batch)


def reloaded(folder, backbone, batch):
    """Return a backbone of the exported folder; what is no part of a checkpoint is copied."""
    found = Pretrained(str(folder), features=backbone.features)
    found.build(batch, 1)
    if backbone.mixture is not None:
        found.mixture.load_state_dict(backbone.mixture.state_dict())
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "features"), [("lora", "both"), ("full", "both"), ("lora", "latents")]
)
def test_the_exported_encoder_is_the_tuned_one(tuned, checkpoint, tmp_path, kind, features):
    run = tuned(kind, features)
    decoder = load_decoder(run, FOLD)
    batch = trials_of(decoder)
    wanted = features_of(decoder.module.backbone, batch)
    export_adapted(run, tmp_path / "out", fold=FOLD)
    found = features_of(reloaded(tmp_path / "out", decoder.module.backbone, batch), batch)
    assert torch.allclose(found, wanted, atol=1e-5)
    before = features_of(reloaded(checkpoint, decoder.module.backbone, batch), batch)
    assert (before - wanted).abs().max() > 1e-2, "tuning changed nothing, the test says nothing"
    model = load_checkpoint(tmp_path / "out")
    assert (model.masked_model is None) == (features == "latents")
    names = load_file(tmp_path / "out" / "model.safetensors")
    assert not any("parametrizations" in name or name.endswith(".up") for name in names)


@pytest.mark.slow
def test_sources_keep_the_names_that_the_masked_model_learned_with(tuned, tmp_path):
    export_adapted(tuned("full"), tmp_path / "out", fold=FOLD)
    model = load_checkpoint(tmp_path / "out")
    moved = (model.masked_model.sources - model.tokenizer.gather.queries).abs().max()
    assert moved > 1e-3
    again = load_checkpoint(save_checkpoint(model, tmp_path / "again"))
    assert torch.equal(again.masked_model.sources, model.masked_model.sources)


@pytest.mark.slow
def test_the_folder_says_what_it_was_tuned_on_and_whom_it_has_seen(
    tuned, checkpoint, prepared_data, tmp_path
):
    model = export_adapted(tuned("lora"), tmp_path / "out", fold=FOLD)
    described = read_config(tmp_path / "out")["training"]["finetuning"]
    assert (described["adaptation"], described["fold"]) == ("lora", FOLD)
    assert described["decoded"] == ["left", "right"]
    assert described["synthetic"] is True
    card = (tmp_path / "out" / "README.md").read_text()
    assert "### Finetuning" in card
    (split,) = load_checkpoint(tmp_path / "out").splits
    assert split.digest == described["split_digest"]
    assert f"split-{split.digest[:16]}.json" in card
    sides = {side: {e.subject for e in entries} for side, entries in split.sides.items()}
    assert sides["test"]
    assert sides["test"].isdisjoint(sides["train"] | sides["validation"])
    trials = prepared_data().trials
    training = {"finetuning": model.record.training["finetuning"]}
    overlap = pretraining_overlap(trials, training, model.splits)
    seen = {name.rsplit("/", 1)[1] for name in overlap.subjects}
    assert seen == sides["train"] | sides["validation"]
    assert len(overlap.recordings) == sum(len(split.sides[s]) for s in ("train", "validation"))
    assert "with labels" in overlap.line


@pytest.mark.slow
def test_merging_leaves_a_plain_model(tuned):
    backbone = load_decoder(tuned("lora"), FOLD).module.backbone
    assert any("parametrizations" in name for name in backbone.model.state_dict())
    assert not any("parametrizations" in name for name in adapted_model(backbone).state_dict())


@pytest.mark.slow
def test_encoder_and_head_as_a_graph_decide_as_the_run_does(tuned, planted_folder, tmp_path):
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    from brainfm.exported import ExportedModel

    run, file = tuned("lora", "latents"), tmp_path / "decoder.onnx"
    words = ["--fold", str(FOLD), "--format", "onnx", "--out", str(file)]
    assert main(["export", str(run), *words]) == 0
    recording = sorted(planted_folder.glob("*_raw.fif"))[0]
    onsets = 2.0 * (np.arange(12) + 0.5)
    wanted = load_decoder(run, FOLD).predict_recording(recording, onsets).numpy()
    model = ExportedModel(file, threads=1)
    found = model.predict(recording, onsets)
    assert model.ids == ("left", "right")
    assert found.shape == (12, 2)
    assert np.abs(found - wanted).max() < 1e-4
    assert np.ptp(wanted[:, 0]) > 1e-2, "all decisions are alike, the test says nothing"
    assert model.predict(recording, onsets[:0]).shape == (0, 2)
    with pytest.raises(ValueError, match="beyond the recording"):
        model.predict(recording, [1e6])
    with pytest.raises(ValueError, match="a decoder that gives output, not features"):
        model.encode(recording)


def test_an_encoder_that_was_left_as_it_was_is_not_exported(tuned, checkpoint, tmp_path, capsys):
    run = tuned("frozen", "latents")
    assert main(["export", str(run), "--fold", str(FOLD), "--out", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert "left the encoder as it was (adaptation frozen)" in said
    assert str(checkpoint) in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--int8"], "8 bits are a setting of graphs"),
        (["--fold", "1"], "is no fine-tuning run and has no folds"),
        (["--format", "torch", "--int8"], "8 bits are a setting of graphs"),
        (["--layer", "1"], "a layer is chosen for the graph of an encoder"),
    ],
)
def test_settings_that_do_not_fit_are_said(checkpoint, tmp_path, capsys, words, why):
    assert main(["export", str(checkpoint), *words, "--out", str(tmp_path / "x")]) == 1
    assert why in capsys.readouterr().err
