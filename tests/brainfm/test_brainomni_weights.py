"""Published files of weights: every way in which they are written, and what does not fit."""

import pytest
import torch
from published_folder import same

import brainfm
from brainfm.checkpoints import load_checkpoint
from brainfm.rotary import rotary_table


@pytest.mark.parametrize("wrap", ["state_dict", "module", "model"])
def test_nested_state_dicts(publish, tmp_path, wrap):
    published = publish()
    published.write({wrap: published.state, "epoch": 3, "args": {"lr": 0.1}})
    assert same(published, tmp_path / "out")


@pytest.mark.parametrize("prefix", ["module.", "model.", "_orig_mod.", "module.model."])
def test_prefixes_that_all_names_share(publish, tmp_path, prefix):
    published = publish(masked=None)
    published.write({"module": {prefix + k: v for k, v in published.state.items()}})
    assert same(published, tmp_path / "out")


def test_new_names_of_weight_norm(publish, tmp_path):
    published = publish()
    new = {
        k.replace(".weight_g", ".parametrizations.weight.original0").replace(
            ".weight_v", ".parametrizations.weight.original1"
        ): v
        for k, v in published.state.items()
    }
    assert set(new) != set(published.state)
    published.write(new)
    assert same(published, tmp_path / "out")


def test_half_precision_weights_are_widened(publish, tmp_path):
    published = publish()
    half = {k: v.bfloat16() if v.is_floating_point() else v for k, v in published.state.items()}
    published.write(half)
    loaded = load_checkpoint(brainfm.import_brainomni(published.folder, tmp_path / "out"))
    found = loaded.tokenizer.gather.queries
    expected = published.model.tokenizer.gather.queries.bfloat16().float()
    assert torch.equal(found, expected)


def test_a_complex_table_without_sines_is_cosines_only(publish, tmp_path):
    published = publish()
    state = {
        k: torch.complex(v.real, torch.zeros_like(v.real)) if v.is_complex() else v
        for k, v in published.state.items()
    }
    published.write(state)
    loaded = load_checkpoint(brainfm.import_brainomni(published.folder, tmp_path / "out"))
    assert loaded.record.masked_model.rotary == "cosine_only"


def drop(name):
    return lambda state: {k: v for k, v in state.items() if k != name}


def put(name, value):
    return lambda state: state | {name: value}


QUERIES = "tokenizer.encoder.neuros"


ROTATE = "blocks.1.time_attn.rope_embedding_layer.rotate"


BIAS = "tokenizer.encoder.seanet_encoder.model.0.conv.conv.bias"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop(QUERIES), "does not fit its configuration: missing gather.queries"),
        (drop("mask_token"), "missing mask_token"),
        (put("extra.weight", torch.zeros(1)), "no place for: extra.weight; do the two files"),
        (put("tokenizer.decoder.extra", torch.zeros(1)), "no place for: decoder.extra"),
        (put(QUERIES, torch.zeros(4, 16)), r"gather.queries is \(4, 16\), expected \(3, 16\)"),
        (put(QUERIES, torch.zeros(3, 16).long()), "encoder.neuros is torch.int64"),
        (
            put(BIAS.replace("bias", "parametrizations.weight.original0"), torch.ones(2, 1, 1)),
            "one tensor under two names: .*weight_g",
        ),
        (drop(ROTATE), f"lacks {ROTATE}"),
        (put(ROTATE, torch.zeros(50, 6)), "rotary table of block 1 is not the published ladder"),
        (put(ROTATE, torch.zeros(50, 7)), r"block 1 is \(50, 7\), expected \(tokens, 6\)"),
        (
            put(ROTATE, rotary_table(50, 1, 12, "ladder")[0][:, 0]),
            "some rotary tables are complex and some real",
        ),
        (
            put("tokenizer.quantizer.rvq.layers.0._codebook.inited", torch.zeros(1)),
            "the codebooks were never set",
        ),
        (lambda state: {"module": state, "head": torch.ones(1)}, "several places .module, head"),
        (lambda state: state | {"step": 4}, "holds more than tensors: step"),
        (lambda state: list(state.values()), "holds no state dict but list"),
        (lambda state: {}, "holds no state dict"),
    ],
)
def test_weights_that_do_not_fit(publish, tmp_path, change, message):
    published = publish()
    published.write(change(published.state))
    with pytest.raises(ValueError, match=message) as error:
        brainfm.import_brainomni(published.folder, tmp_path / "out")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out" / "config.json").exists()


class Touch:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_nothing_in_the_file_is_run(publish, tmp_path):
    published = publish()
    published.write(published.state | {"x": Touch(tmp_path / "ran")})
    with pytest.raises(ValueError, match=r"BrainOmni.pt is no readable file of tensors"):
        brainfm.import_brainomni(published.folder, tmp_path / "out")
    assert not (tmp_path / "ran").exists()
