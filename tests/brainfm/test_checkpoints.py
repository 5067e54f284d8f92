"""Checkpoint folders: the same outputs to the byte, and one clear line for everything else."""

import hashlib
import json
import pickle

import pytest
import torch
from safetensors.torch import load, save

from brainfm.checkpoints import (
    codes_digest,
    copy_checkpoint,
    count_parameters,
    load_checkpoint,
    read_config,
    save_checkpoint,
)


@pytest.fixture
def folder(tiny_model, tmp_path):
    return save_checkpoint(tiny_model(), tmp_path / "model")


def rewrite(folder, tensors=None, content=None, **config):
    """Replace weights or settings and keep the digest right, as an honest but foreign writer."""
    if tensors is not None:
        content = save(tensors)
    values = json.loads((folder / "config.json").read_text())
    if content is not None:
        (folder / "model.safetensors").write_bytes(content)
        values["weights"]["sha256"] = hashlib.sha256(content).hexdigest()
    values.update(config)
    (folder / "config.json").write_text(json.dumps(values))


def tensors_of(folder):
    return load((folder / "model.safetensors").read_bytes())


def fails(folder, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message) as error:
        load_checkpoint(folder)
    assert "\n" not in str(error.value)


def outputs(model):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 5, 300, generator=generator)
    places = 0.1 * torch.randn(2, 5, 3, generator=generator)
    sensors = model.tokenizer.embed_sensors(
        places, torch.zeros(2, 5, 3), torch.zeros(2, 5, dtype=torch.long), torch.ones(2, 5).bool()
    )
    codes = model.tokenizer.tokenize(x, sensors)
    decoded = model.tokenizer.decode(model.tokenizer.quantizer.decode(codes), sensors)
    results = [codes, decoded]
    if model.masked_model is not None:
        results += [model.masked_model.features(codes), model.masked_model(codes)]
    return results


@pytest.mark.parametrize("masked", ["tiny", None])
@pytest.mark.parametrize("changes", [{}, {"code_dim": 4}, {"architecture": "brainomni"}])
def test_a_loaded_model_gives_the_same_bytes(tiny_model, tmp_path, masked, changes):
    model = tiny_model(masked=masked, **changes)
    loaded = load_checkpoint(save_checkpoint(model, tmp_path))
    assert loaded.record == model.record
    for before, after in zip(outputs(model), outputs(loaded), strict=True):
        assert torch.equal(before, after)


def test_a_loaded_model_is_frozen_and_in_eval(folder):
    loaded = load_checkpoint(folder)
    assert not any(module.training for module in loaded.modules())
    assert not any(p.requires_grad for p in loaded.parameters())


def test_saving_twice_gives_the_same_files(tiny_model, tmp_path):
    first = save_checkpoint(tiny_model(), tmp_path / "a")
    second = save_checkpoint(load_checkpoint(first), tmp_path / "b")
    for name in ("config.json", "model.safetensors", "README.md"):
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


def test_the_folder_says_what_the_model_needs(folder):
    config = read_config(folder)
    assert config["processing"]["sfreq"] == 256.0
    assert config["tokenizer"]["types"]["eeg"] == 0
    assert config["software"]["torch"] == torch.__version__
    card = (folder / "README.md").read_text()
    assert "256 Hz" in card
    assert "0.1 - 96 Hz" in card
    assert card.startswith("---\n")


def test_nothing_needs_pickle(folder, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("pickle was used")

    monkeypatch.setattr(pickle, "load", refuse)
    monkeypatch.setattr(pickle, "loads", refuse)
    monkeypatch.setattr(torch, "load", refuse)
    load_checkpoint(folder)


def test_a_missing_tensor(folder):
    tensors = tensors_of(folder)
    del tensors["tokenizer.gather.queries"]
    rewrite(folder, tensors)
    fails(folder, "does not fit its configuration: missing tokenizer.gather.queries$")


def test_a_tensor_left_over(folder):
    rewrite(folder, tensors_of(folder) | {"extra.weight": torch.zeros(1)})
    fails(folder, "unexpected extra.weight")


def test_a_renamed_tensor_is_missing_and_left_over(folder):
    tensors = tensors_of(folder)
    tensors["tokenizer.gather.query"] = tensors.pop("tokenizer.gather.queries")
    rewrite(folder, tensors)
    fails(folder, "missing tokenizer.gather.queries; unexpected tokenizer.gather.query")


def test_another_shape(folder):
    tensors = tensors_of(folder)
    tensors["tokenizer.gather.queries"] = torch.zeros(4, 16)
    rewrite(folder, tensors)
    fails(folder, r"tokenizer.gather.queries is \(4, 16\), expected \(3, 16\)")


def test_another_dtype(folder):
    tensors = tensors_of(folder)
    tensors["tokenizer.gather.queries"] = tensors["tokenizer.gather.queries"].bfloat16()
    rewrite(folder, tensors)
    fails(folder, "tokenizer.gather.queries is torch.bfloat16, expected torch.float32")


def test_many_problems_stay_one_line(folder):
    rewrite(folder, {"a": torch.zeros(1)})
    fails(folder, r"missing masked_model.* and \d+ more")


def test_a_truncated_file(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    fails(folder, "digest differs")


def test_a_truncated_file_with_its_own_digest(folder):
    rewrite(folder, content=(folder / "model.safetensors").read_bytes()[:-100])
    fails(folder, "is not a safetensors file")


def test_a_pickle_in_place_of_safetensors(folder):
    rewrite(folder, content=pickle.dumps({"a": 1}))
    fails(folder, "is not a safetensors file")


def test_changed_weights(folder):
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    fails(folder, "digest differs")


def test_a_newer_format(folder):
    rewrite(folder, format=99)
    fails(folder, "has format 99, this brainfm reads format 1; install the version that wrote it")


def test_a_setting_of_a_newer_version(folder):
    config = read_config(folder)
    rewrite(folder, tokenizer={**config["tokenizer"], "wavelets": 3})
    fails(folder, r"config.json.tokenizer has settings .* wavelets")


def test_a_setting_that_cannot_be(folder):
    config = read_config(folder)
    rewrite(folder, tokenizer={**config["tokenizer"], "window": 100})
    fails(folder, r"config.json.tokenizer: window \(100 samples\) must be a multiple")


def test_settings_missing_altogether(folder):
    values = json.loads((folder / "config.json").read_text())
    del values["processing"]
    (folder / "config.json").write_text(json.dumps(values))
    fails(folder, "config.json.processing must be a mapping")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_file(folder, name):
    (folder / name).unlink()
    fails(folder, name)


def test_no_folder(tmp_path):
    fails(tmp_path / "nowhere", "is no checkpoint folder .*brainfm export")


@pytest.mark.parametrize("text", ["{", "[1]", "\x00"])
def test_a_damaged_config(folder, text):
    (folder / "config.json").write_text(text)
    fails(folder, "config.json (is not JSON|has format None)")


def test_a_failed_save_leaves_no_whole_checkpoint(tiny_model, folder, monkeypatch):
    """The old configuration must not vouch for new weights."""

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("brainfm.checkpoints.write_text_atomic", full)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(tiny_model(seed=1), folder)
    monkeypatch.undo()
    fails(folder, "is no checkpoint folder")


def test_the_digest_of_codes_is_that_of_the_encoder(tiny_model):
    model = tiny_model().tokenizer
    before = codes_digest(model)
    model.decoder.synthesis.linear.bias.data += 1
    assert codes_digest(model) == before
    model.gather.queries.data[0, 0] += 1e-3
    assert codes_digest(model) != before
    assert codes_digest(tiny_model(overlap=0.5).tokenizer) != before


def test_parameters_are_counted_with_the_codebooks(tiny_model):
    model = tiny_model(masked=None)
    bare = sum(p.numel() for p in model.parameters())
    assert count_parameters(model) == bare + 2 * 8 * 16


def test_a_copy_loads(folder, tmp_path):
    copy_checkpoint(folder, tmp_path / "copy")
    for before, after in zip(
        outputs(load_checkpoint(folder)), outputs(load_checkpoint(tmp_path / "copy")), strict=True
    ):
        assert torch.equal(before, after)
