"""Figures of a fidelity card in the card of a model."""

import json
from dataclasses import replace

import pytest
import torch

from brainfm.checkpoints import BrainModel, codes_digest, load_checkpoint, save_checkpoint
from brainfm.cli import main
from brainfm.fidelity_summary import fidelity_summary


def group(band, value, interval, **changes):
    correlation = {
        "codes": {"value": value, "interval": interval},
        "quantiles": {"value": 0.25, "interval": None},
        "zero": {"value": 0.0, "interval": None},
    }
    row = {
        "side": "test",
        "array": "cap64",
        "device_in_training": True,
        "sensor_type": "eeg",
        "n_channels": 64,
        "band": band,
        "n_recordings": 3,
        "n_subjects": 2,
        "n_windows": 9,
        "interval_over": "windows",
        "measures": {"correlation": correlation},
    }
    return row | changes


@pytest.fixture
def model(tiny_model):
    return tiny_model(masked=None)


@pytest.fixture
def card(model, tmp_path):
    numbers = {
        "format": 1,
        "codes_digest": codes_digest(model.tokenizer),
        "corpus_digest": "c" * 64,
        "split_digest": None,
        "groups": [
            group("all", 0.756, [0.701, 0.8]),
            group("alpha", 0.9, None),
            group("all", None, None, sensor_type="mag", measures={}),
        ],
    }
    (tmp_path / "card").mkdir()
    (tmp_path / "card" / "card.json").write_text(json.dumps(numbers))
    return tmp_path / "card"


def test_the_whole_signal_alone_is_kept(card, model):
    found = fidelity_summary(card, codes_digest(model.tokenizer))
    assert found == fidelity_summary(card / "card.json", codes_digest(model.tokenizer))
    assert found["corpus_digest"] == "c" * 64
    assert [row["sensor_type"] for row in found["rows"]] == ["eeg"]
    assert found["rows"][0]["correlation"]["codes"] == {"value": 0.756, "interval": [0.701, 0.8]}


def test_export_puts_it_into_the_model_card(card, model, tmp_path, capsys):
    weights = {f"tokenizer.{name}": value for name, value in model.tokenizer.state_dict().items()}
    described = {"stage": "tokenizer", "record": model.record.to_json()}
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    torch.save({"brainfm": described, "state_dict": weights}, run / "checkpoints" / "last.ckpt")
    words = ["export", str(run), "--out", str(tmp_path / "out")]
    assert main(words) == 0
    assert "Not measured" in (tmp_path / "out" / "README.md").read_text()
    assert main([*words, "--fidelity", str(card)]) == 0
    row = "| test, cap64 | eeg | 3 (2) | 0.76 [0.70, 0.80] | 0.25 | windows |"
    assert row in (tmp_path / "out" / "README.md").read_text()
    again = save_checkpoint(load_checkpoint(tmp_path / "out"), tmp_path / "again")
    assert row in (again / "README.md").read_text()
    capsys.readouterr()
    assert main([*words, "--fidelity", str(tmp_path / "none")]) == 1
    assert "no such file; 'brainfm tokenizer card' makes one" in capsys.readouterr().err


def test_the_card_of_another_tokenizer(card, tiny_model):
    other = tiny_model(masked=None, seed=1)
    with pytest.raises(ValueError, match=r"is the card of another tokenizer"):
        fidelity_summary(card, codes_digest(other.tokenizer))


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 1}', '{"format": 9}'])
def test_what_is_no_card(tmp_path, text):
    (tmp_path / "card.json").write_text(text)
    with pytest.raises(ValueError, match=r"card.json is no fidelity card") as error:
        fidelity_summary(tmp_path, "")
    assert "\n" not in str(error.value)


def test_older_checkpoints_have_none(model, tmp_path):
    folder = save_checkpoint(model, tmp_path)
    values = json.loads((folder / "config.json").read_text())
    del values["fidelity"]
    (folder / "config.json").write_text(json.dumps(values))
    assert load_checkpoint(folder).record == replace(BrainModel(model.record).record, fidelity={})
