"""What training does to weights, stage by stage."""

import numpy as np
import pytest
import torch
from brainfm.finetune.adaptation import AdaptationConfig
from brainfm.finetune.classification import Classification
from brainfm.finetune.closed_form import fit_readout
from brainfm.finetune.decoder_record import DecoderRecord
from brainfm.finetune.module import DecodingModule
from brainfm.finetune.predicting import predict_side
from brainfm.finetune.pretrained import Pretrained
from brainfm.finetune.regression import Regression
from brainfm.finetune.retrieval import Retrieval
from brainfm.finetune.subject_layers import SubjectLayerConfig
from brainfm.finetune.targets import Targets, TargetSource
from lightning import Callback, Trainer

from brainfm.checkpoints import save_checkpoint
from brainfm.optimisation import OptimizerConfig
from brainfm.trial_splits import TrialSplitConfig

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def checkpoint(tiny_model, tmp_path_factory):
    return str(save_checkpoint(tiny_model(), tmp_path_factory.mktemp("tiny") / "checkpoint"))


@pytest.fixture
def module(checkpoint):
    def make(kind="full", **settings):
        torch.manual_seed(0)
        features = settings.pop("features", "latents")
        return DecodingModule(
            Pretrained(checkpoint, features),
            Classification(),
            AdaptationConfig(kind=kind, **settings.pop("adaptation", {})),
            OptimizerConfig(lr=1e-2, warmup_steps=1),
            **settings,
        )

    return make


class Diary(Callback):
    """Notes which weights each step moved, by the first part of their name."""

    def __init__(self):
        self.moved = []

    def on_train_batch_start(self, trainer, module, *rest):
        self.before = {name: p.detach().clone() for name, p in module.named_parameters()}

    def on_train_batch_end(self, trainer, module, *rest):
        after = dict(module.named_parameters())
        changed = {name for name, p in self.before.items() if not torch.equal(p, after[name])}
        self.moved.append({name.split(".")[0] for name in changed})


def fit(module, data, **settings):
    diary = Diary()
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        callbacks=[diary],
        **({"max_steps": 4} | settings),
    )
    trainer.fit(module, datamodule=data)
    return trainer, diary


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("frozen", [{"head"}] * 4),
        ("linear", [{"head"}] * 4),
        ("full", [{"head", "trained_backbone"}] * 4),
        ("lora", [{"head", "trained_backbone"}] * 4),
        ("two_stage", [{"head"}] * 2 + [{"head", "trained_backbone"}] * 2),
    ],
)
def test_what_moves(module, planted_data, kind, expected):
    made = module(kind, adaptation={"stage_one_share": 0.5})
    trainer, diary = fit(made, planted_data())
    assert diary.moved == expected
    assert torch.isfinite(trainer.callback_metrics["train/loss"])


def test_lora_leaves_the_pretrained_weights(module, planted_data, checkpoint):
    from brainfm.finetune.lora import merge_low_rank

    from brainfm.checkpoints import load_checkpoint

    made = module("lora")
    fit(made, planted_data())
    known = load_checkpoint(checkpoint).state_dict()
    found = made.backbone.model.state_dict()
    kept = {k.replace("parametrizations.weight.original", "weight"): v for k, v in found.items()}
    assert all(torch.equal(kept[name], value) for name, value in known.items())
    merge_low_rank(made.backbone)
    changed = [
        k for k, v in made.backbone.model.state_dict().items() if not torch.equal(v, known[k])
    ]
    assert changed
    assert all(name.endswith("weight") for name in changed)


def test_a_frozen_backbone_is_not_saved(module, planted_data):
    made = module("frozen")
    fit(made, planted_data())
    assert {name.split(".")[0] for name in made.state_dict()} == {"head"}


def test_validation_is_scored(module, planted_data):
    trainer, _ = fit(module(), planted_data(), max_epochs=1, max_steps=-1)
    assert set(trainer.callback_metrics) >= {"validation/loss", "validation/balanced_accuracy"}


def test_subject_maps_are_trained(module, planted_data):
    made = module("frozen", subject_layer=SubjectLayerConfig(enabled=True, dropout=0.5))
    split = TrialSplitConfig(by="run", validation=0.3)
    _, diary = fit(made, planted_data(split=split))
    assert diary.moved == [{"head", "subjects"}] * 4
    n_subjects = len(made.record.subjects)
    assert made.subjects.maps.shape == (n_subjects + 1, 16, 16)


def test_weights_follow_from_the_seed_not_from_what_was_cached(module, planted_data, tmp_path):
    found = []
    for _ in range(2):  # features computed, then read
        made = module("frozen")
        data = planted_data(cache=str(tmp_path / "cache"))
        torch.manual_seed(5)
        fit(made, data)
        found.append(made.head.readout[1].weight.detach().clone())
    assert torch.equal(*found)


def test_a_loss_that_is_not_finite_moves_nothing_and_names_recordings(
    module, planted_data, monkeypatch, capsys
):
    made = module("frozen")
    monkeypatch.setattr(
        Classification, "loss", lambda self, output, batch: output.sum() * torch.nan
    )
    with pytest.raises(ValueError, match="that makes 10 in a row"):
        fit(made, planted_data(), max_steps=20)
    assert "step 0 skipped: signal or loss not finite in synthetic_sub-0" in capsys.readouterr().err


def test_ridge_decodes_and_its_probabilities_are_some(module, prepared_data):
    made, data = module("ridge", features="both"), prepared_data()
    made.prepare(data, CPU)
    assert fit_readout(made, data) in AdaptationConfig().penalties
    found = predict_side(made, data, "test")
    assert found.trial.tolist() == data.indices("test").tolist()
    assert found.output.sum(1) == pytest.approx(1.0, abs=1e-5)
    assert (found.output.argmax(1) == found.target).mean() > 0.8


def test_ridge_without_validation_needs_one_penalty(module, prepared_data):
    data = prepared_data(split=TrialSplitConfig(by="subject", validation=0))
    made = module("ridge")
    made.prepare(data, CPU)
    with pytest.raises(ValueError, match=r"set data\.split\.validation"):
        fit_readout(made, data)
    single = module("ridge", adaptation={"penalties": (1.0,)})
    single.prepare(data, CPU)
    assert fit_readout(single, data) == 1.0


def test_settings_that_do_not_go_together(module, prepared_data):
    with pytest.raises(ValueError, match="maps of subjects have no closed form"):
        module("ridge", subject_layer=SubjectLayerConfig(enabled=True))
    made = module("linear")
    made.head.whole_passages = True
    with pytest.raises(ValueError, match=r"set data\.keep_passages to true"):
        made.prepare(prepared_data(), CPU)


def test_predictions_do_not_depend_on_the_batch_size(module, prepared_data):
    made = module("full", features="both")
    data = prepared_data()
    made.prepare(data, CPU)
    few, many = (
        predict_side(made, prepared_data(batch_size=size), "test").output for size in (3, 64)
    )
    assert abs(few - many).max() < 1e-5


class Things(TargetSource):
    """Retrieval: left is one thing with features, right another; the other one is a rival."""

    def make(self, trials):
        values = np.random.default_rng(0).standard_normal((2, 5)).astype(np.float32)
        rows = trials.targets
        return Targets(
            ids=np.array(trials.classes), rows=rows, values=values, rivals=1 - rows[:, None]
        )


class Amounts(TargetSource):
    """Regression: two numbers for every trial."""

    def make(self, trials):
        values = trials.targets[:, None] + np.linspace([0, 0], [0.1, 2], len(trials))
        ids = np.array([str(k) for k in range(len(trials))])
        rows = np.arange(len(trials))
        return Targets(ids=ids, rows=rows, values=values.astype(np.float32), units=("a", "b"))


def decoded(checkpoint, planted_data, head, targets):
    made = DecodingModule(Pretrained(checkpoint, "latents"), head, AdaptationConfig(kind="frozen"))
    data = planted_data(targets=targets)
    trainer, _ = fit(made, data, max_epochs=1, max_steps=-1)
    return trainer.callback_metrics, predict_side(made, data, "test"), data


def test_retrieval_is_predicted_as_similarity_to_a_gallery(checkpoint, planted_data):
    metrics, found, data = decoded(checkpoint, planted_data, Retrieval(), Things())
    assert "validation/first_in_batch" in metrics
    assert found.gallery.tolist() == [0, 1]
    assert found.output.shape == (24, 2)
    assert abs(found.output).max() <= 1 + 1e-5
    assert found.rivals[:, 0].tolist() == (1 - found.target).tolist()
    assert found.target.tolist() == data.targets.rows[found.trial].tolist()


def test_values_are_predicted_beside_the_truth(checkpoint, planted_data):
    metrics, found, data = decoded(checkpoint, planted_data, Regression(), Amounts())
    assert "validation/r" in metrics
    assert found.output.shape == found.truth.shape == (24, 2)
    assert np.array_equal(found.truth, data.targets.values[found.target])


def test_a_decoder_is_made_again_without_its_data(checkpoint, planted_data):
    """From plain values and weights: the same predictions and the same gallery."""
    made = DecodingModule(Pretrained(checkpoint, "latents"), Retrieval(), AdaptationConfig())
    data = planted_data(targets=Things())
    fit(made, data)
    plain = {}
    made.on_save_checkpoint(plain)
    record = DecoderRecord.from_plain(plain["brainfm"]["decoder"])
    again = DecodingModule(Pretrained(checkpoint, "latents"), Retrieval(), AdaptationConfig())
    again.build_backbone(record.example, len(record.subjects))
    again.build_rest(record)
    again.load_state_dict(made.state_dict(), strict=True)
    first, second = (predict_side(module, data, "test").output for module in (made, again))
    assert np.array_equal(first, second)
    assert record.subjects == data.subjects
