"""The presets for public recordings: they parse, alone and with each of the networks."""

import pytest
import yaml

from brainfm.cli import main

TASKS = ("ssvep", "motor", "p300", "auditory_visual", "phonemes")


def settings(capsys, *presets):
    words = [word for name in presets for word in ("--config", name)]
    assert main(["finetune", "fit", *words, "--out", "unused", "--print_config"]) == 0
    return yaml.safe_load(capsys.readouterr().out)


@pytest.mark.parametrize("name", TASKS)
def test_a_preset_decodes_from_the_sources_of_a_checkpoint_in_closed_form(name, capsys):
    model = settings(capsys, name)["model"]
    assert model["backbone"]["class_path"].endswith("Pretrained")
    assert model["backbone"]["init_args"]["features"] == "sources"
    assert model["adaptation"]["kind"] == "ridge"


@pytest.mark.parametrize(("network", "name"), [("conv_net", "ConvNet"), ("eegnet", "EEGNet")])
def test_a_network_takes_the_place_of_the_encoder_on_the_same_trials(network, name, capsys):
    alone, found = settings(capsys, "ssvep"), settings(capsys, "ssvep", network)
    assert found["data"] == alone["data"]
    model = found["model"]
    assert model["backbone"]["class_path"].endswith(name)
    assert "checkpoint" not in model["backbone"]["init_args"]
    assert model["adaptation"]["kind"] == "full"
    # Not the spectrum, which features of a network do not have.
    assert model["head"]["init_args"]["pooling"]["kind"] in ("flat", "moments")
    assert model["head"]["init_args"]["pooling"]["bands"] is None
