"""PyTorch's files: what training left is read, and nothing that they hold is run."""

import pytest
import torch

from brainfm.brain_tokenizer import BrainTokenizer
from brainfm.checkpoints import BrainModel
from brainfm.torch_files import read_training_checkpoint


class Touch:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_training_checkpoints_are_read_without_running_what_they_hold(tmp_path):
    path = tmp_path / "last.ckpt"
    torch.save({"brainfm": Touch(tmp_path / "ran")}, path)
    with pytest.raises(ValueError, match=r"last.ckpt is no readable file of tensors") as error:
        read_training_checkpoint(path)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a checkpoint", b"\x80\x02."])
def test_damaged_training_checkpoints(tmp_path, content):
    path = tmp_path / "last.ckpt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"last.ckpt is no") as error:
        read_training_checkpoint(path)
    assert "\n" not in str(error.value)


def test_training_checkpoints_of_others(tmp_path):
    torch.save({"state_dict": {}}, tmp_path / "last.ckpt")
    with pytest.raises(ValueError, match="is no training checkpoint of brainfm"):
        read_training_checkpoint(tmp_path / "last.ckpt")


def test_training_checkpoints_give_stage_record_and_weights(tiny_model, tmp_path):
    model = tiny_model(masked=None)
    described = {"stage": "tokenizer", "record": model.record.to_json()}
    torch.save({"brainfm": described, "state_dict": model.state_dict()}, tmp_path / "last.ckpt")
    stage, record, weights = read_training_checkpoint(tmp_path / "last.ckpt")
    assert stage == "tokenizer"
    assert record == model.record
    BrainModel(record).load_state_dict(weights)
    assert isinstance(BrainModel(record).tokenizer, BrainTokenizer)
