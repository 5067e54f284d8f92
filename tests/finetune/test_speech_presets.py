"""The presets for published speech data sets: they parse, and say what the protocol says."""

import pytest
import yaml
from brainfm.finetune.speech_layouts import LAYOUTS

from brainfm.cli import main

PUBLISHED = [name for name in LAYOUTS if name != "simulated"]


def settings(capsys, *presets):
    words = [word for name in presets for word in ("--config", f"speech_{name}")]
    assert main(["finetune", "fit", *words, "--out", "unused", "--print_config"]) == 0
    return yaml.safe_load(capsys.readouterr().out)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_preset_is_the_published_protocol(name, capsys):
    found = settings(capsys, name)
    data, model = found["data"], found["model"]
    assert data["source"]["init_args"]["layout"] == name
    assert data["trials"]["window"] == [-0.5, 2.5]
    assert data["trials"]["baseline"] == [-0.5, 0.0]
    assert (data["split"]["by"], data["scaling"], data["clamp"]) == ("group", "robust", 20.0)
    # 70, 10 and 20 %: a fifth is tested, and an eighth of the rest chooses.
    assert (data["split"]["folds"], data["split"]["validation"]) == (5, 0.125)
    targets = data["targets"]["init_args"]
    assert targets["delay_s"] == (0.15 if LAYOUTS[name].modality == ("meg",) else 0.0)
    assert (targets["rate"], targets["features"]["layers"]) == (120.0, [14, 18])
    assert model["backbone"]["class_path"].endswith("ConvNet")
    contrast = model["head"]["init_args"]["contrast"]
    assert contrast["loss"] == "clip_one_sided"
    assert (contrast["temperature"], contrast["time"]) == ("none", "kept")


def test_our_encoder_takes_the_place_of_the_network(capsys):
    found = settings(capsys, "synthetic", "encoder")
    assert found["model"]["backbone"]["class_path"].endswith("Pretrained")
    assert found["data"]["source"]["init_args"]["layout"] == "simulated"
    assert found["model"]["head"]["class_path"].endswith("Retrieval")


@pytest.mark.parametrize(("name", "head"), [("ctc", "CTC"), ("words", "WordWindows")])
def test_texts_and_words_of_synthetic_people_have_presets(name, head, capsys):
    found = settings(capsys, name)
    assert found["model"]["head"]["class_path"].endswith(head)
    assert found["data"]["source"]["init_args"]["layout"] == "simulated"
    assert found["data"]["keep_passages"] == (name == "words")


def test_a_channel_that_recorded_the_sound_can_be_named(capsys):
    words = ["--config", "speech_brennan", "--data.source.init_args.align", "{channel: AUD}"]
    assert main(["finetune", "fit", *words, "--out", "unused", "--print_config"]) == 0
    found = yaml.safe_load(capsys.readouterr().out)["data"]["source"]["init_args"]["align"]
    assert (found["channel"], found["triggers"], found["mark"]) == ("AUD", "", "sound")
    assert found["limits"]["most_drift"] == 1000.0
