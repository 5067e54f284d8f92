"""PyTorch's own files, read without running what they hold."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from brainfm.checkpoints import ModelRecord


def read_torch_file(path: str | Path) -> Any:
    """Return what a PyTorch file holds: tensors and plain values, on the CPU.

    Raises
    ------
    ValueError
        Damaged, or it holds objects that only running its code (pickle) would bring back.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # torch's reader raises anything on damaged bytes
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        raise ValueError(f"{path} is no readable file of tensors ({reason})") from error


def read_training_checkpoint(path: str | Path) -> tuple[str, ModelRecord, dict[str, Tensor]]:
    """Return stage, record and weights of a training checkpoint, without unpickling objects.

    Weights that training kept in 16 bits become float32.
    """
    content = read_torch_file(path)
    if not isinstance(content, dict) or "brainfm" not in content:
        raise ValueError(f"{path} is no training checkpoint of brainfm")
    described = content["brainfm"]
    record = ModelRecord.from_json(described["record"], str(path))
    weights = {
        name: value.float() if value.is_floating_point() and value.itemsize < 4 else value
        for name, value in content["state_dict"].items()
    }
    return described["stage"], record, weights
