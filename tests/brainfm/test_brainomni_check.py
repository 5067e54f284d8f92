"""Stored outputs are compared with those of the imported model: what is equal, and what is not."""

import re
from dataclasses import replace

import pytest
import torch
from published_folder import MASKED, example, outputs

import brainfm
from brainfm.brainomni_check import check_import
from brainfm.checkpoints import BrainModel, load_checkpoint
from brainfm.cli import main


def store(folder, inputs, stored):
    folder.mkdir(exist_ok=True)
    torch.save(inputs, folder / "inputs.pt")
    torch.save(stored, folder / "outputs.pt")
    return folder


def command(published, out, check):
    words = ["import-brainomni", str(published.folder), str(out), "--check", str(check)]
    return main(words)


def test_check_passes_what_is_equal(publish, tmp_path, capsys):
    published = publish()
    inputs = example(published.model.tokenizer)
    stored = outputs(published.model, inputs)
    check = store(tmp_path / "check", inputs, stored)
    assert command(published, tmp_path / "out", check) == 0
    out = capsys.readouterr().out
    for name in stored:
        assert re.search(rf"{name} .*equal", out), name


@pytest.mark.parametrize(
    "name", ["hidden", "logits", "features_overlap_25", "codes_overlap_0", "sensor_embedding"]
)
def test_check_finds_what_differs(publish, tmp_path, capsys, name):
    published = publish()
    inputs = example(published.model.tokenizer)
    stored = outputs(published.model, inputs)
    largest = max(1.0, stored[name].abs().max().item())
    changed = stored[name].flatten().clone()
    changed[0] += 1 if "codes" in name else 2e-5 * largest
    check = store(tmp_path / "check", inputs, stored | {name: changed.view_as(stored[name])})
    assert command(published, tmp_path / "out", check) == 1
    captured = capsys.readouterr()
    assert f"not the same function: {name} above tolerance" in captured.err
    assert captured.out.count("DIFFERS") == 1


def test_check_finds_nan_and_other_shapes(publish, tmp_path):
    published = publish(masked=None)
    inputs = example(published.model.tokenizer)
    stored = outputs(published.model, inputs)
    stored["target"] = stored["target"].clone().fill_(torch.nan)
    stored["reconstruction"] = stored["reconstruction"][..., :-1]
    check = store(tmp_path / "check", inputs, stored)
    found = {c.name: c.within for c in check_import(published.model, check)}
    assert [name for name, within in found.items() if not within] == ["target", "reconstruction"]


def test_check_takes_the_variant_of_the_weights(publish, tmp_path):
    """The wrong rotary variant is far off; each is compared with its own output."""
    published = publish(masked=replace(MASKED, rotary="cosine_only"))
    ladder = replace(published.model.record, masked_model=MASKED)
    other = BrainModel(ladder).eval()
    other.load_state_dict(published.model.state_dict())
    other.share_codes()
    inputs = example(published.model.tokenizer)
    stored, exported = outputs(other, inputs), outputs(published.model, inputs)
    assert (stored["hidden"] - exported["hidden"]).abs().max() > 1e-3
    both = stored | {"hidden_exported": exported["hidden"]}
    check = store(tmp_path / "check", inputs, both)
    for model, used, passed in (
        (other, "hidden", "hidden_exported"),
        (published.model, "hidden_exported", "hidden"),
    ):
        found = {c.name: c.within for c in check_import(model, check)}
        assert found[used] is True
        assert found[passed] is None
    # Without the second output, the first is of these weights.
    check = store(tmp_path / "check", inputs, exported)
    assert all(c.within for c in check_import(published.model, check))


@pytest.mark.parametrize(
    ("inputs", "stored", "message"),
    [
        ({"x": torch.zeros(1, 1, 8)}, {"hidden": torch.zeros(1)}, "lacks pos, sensor_type"),
        (None, {"colours": torch.zeros(1)}, "no output that can be compared"),
    ],
)
def test_check_folders_that_say_nothing(publish, tmp_path, inputs, stored, message):
    published = publish()
    inputs = inputs or example(published.model.tokenizer)
    check = store(tmp_path / "check", inputs, stored)
    with pytest.raises(ValueError, match=message):
        check_import(published.model, check)
    (check / "outputs.pt").unlink()
    with pytest.raises(FileNotFoundError, match=r"outputs\.pt"):
        check_import(published.model, check)


@pytest.mark.shared
def test_golden_folder_by_command(golden, tmp_path, capsys):
    assert main(["import-brainomni", str(golden), str(tmp_path), "--check", str(golden)]) == 0
    assert "hidden" in capsys.readouterr().out


@pytest.mark.shared
def test_golden_variants_are_not_interchangeable(golden, tmp_path):
    stored = torch.load(golden / "outputs.pt", weights_only=True)
    codes = stored["codes_overlap_25"]
    hidden = [
        load_checkpoint(
            brainfm.import_brainomni(golden / file, tmp_path / file)
        ).masked_model.features(codes)
        for file in ("BrainOmni.pt", "BrainOmni_exported.pt")
    ]
    torch.testing.assert_close(hidden[0], stored["hidden"], atol=1e-5, rtol=0)
    torch.testing.assert_close(hidden[1], stored["hidden_exported"], atol=1e-5, rtol=0)
    assert (hidden[0] - stored["hidden_exported"]).abs().max() > 1e-2
