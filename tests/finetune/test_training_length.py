"""How long a decoder is trained where nothing says so."""

import pytest
import yaml
from brainfm.finetune.control_settings import control_settings
from brainfm.finetune.training_length import EPOCHS, STEPS, names_no_length

from brainfm.cli import main


@pytest.mark.parametrize(
    ("trainer", "open_ended"),
    [
        ({"max_epochs": None, "max_steps": -1}, True),
        ({}, True),
        ({"max_epochs": 3}, False),
        ({"max_steps": 3}, False),
        ({"max_time": "00:01:00:00"}, False),
    ],
)
def test_a_length_is_named_by_epochs_steps_or_time(trainer, open_ended):
    assert names_no_length(trainer) is open_ended


def test_few_trials_are_trained_for_some_hundred_steps(planted_folder, tmp_path, capsys):
    words = {
        "data.source": "brainfm.finetune.recording_sources.Files",
        "data.source.root": planted_folder,
        "data.source.files": '["*_raw.fif"]',
        "data.trials.window": "[0.0, 1.0]",
        "data.split.by": "subject",
        "data.split.folds": 2,
        "data.split.validation": 0.0,
        "data.fold": 0,
        "data.batch_size": 24,
        "data.cache": planted_folder.parent / "cache",
        "model.backbone": "brainfm.finetune.eegnet.EEGNet",
        "model.head": "brainfm.finetune.classification.Classification",
        "model.adaptation.kind": "full",
        "trainer.accelerator": "cpu",
        "trainer.enable_progress_bar": "false",
    }
    line = [f"--{name}={value}" for name, value in words.items()]
    assert main(["finetune", "fit", *line, "--out", str(tmp_path / "run")]) == 0
    said = capsys.readouterr().out
    n_training = int(said.split("training on ")[1].split()[0])
    steps = -(-n_training // 24)
    assert f"trained for {max(EPOCHS, -(-STEPS // steps))} epochs" in said


def test_the_net_beside_a_classifier_is_small_and_that_beside_a_retrieval_is_not():
    settings = {
        "data": {},
        "model": {
            "backbone": {"class_path": "brainfm.finetune.pretrained.Pretrained"},
            "head": {"class_path": "brainfm.finetune.classification.Classification"},
        },
    }
    small = control_settings(settings, "conv_net")["model"]
    assert small["backbone"]["init_args"]["config"]["width"] == 32
    assert small["optimizer"] == {"lr": 1e-3}
    settings["model"]["head"] = {"class_path": "brainfm.finetune.retrieval.Retrieval"}
    assert "init_args" not in control_settings(settings, "conv_net")["model"]["backbone"]
    assert yaml.safe_dump(small)
