"""Checkpoint folders: ``config.json`` + ``model.safetensors`` + ``README.md``.

Loading is strict and reads nothing but JSON and safetensors: no pickle, no DeepSpeed.
"""

import hashlib
import json
import platform
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from brainfm.atomic import write_bytes_atomic, write_json_atomic, write_text_atomic
from brainfm.brain_tokenizer import BrainTokenizer, TokenizerConfig
from brainfm.config_json import from_json, to_json
from brainfm.masked_model import MaskedBrainModel, MaskedModelConfig
from brainfm.model_card import model_card
from brainfm.processing import ProcessingConfig

FORMAT = 1
CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
PARTS = ("tokenizer", "masked_model")


@dataclass(frozen=True, kw_only=True)
class ModelRecord:
    """Everything about a model but its weights.

    Parameters
    ----------
    tokenizer, masked_model
        Architectures; a tokenizer may stand alone.
    processing
        How recordings are prepared for it: the input contract.
    training
        What it was trained on and for how long, as JSON values.
    """

    tokenizer: TokenizerConfig
    masked_model: MaskedModelConfig | None
    processing: ProcessingConfig
    training: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return to_json(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any], where: str) -> "ModelRecord":
        """Read what :meth:`to_json` returned."""
        return from_json(cls, values, where)


class BrainModel(nn.Module):
    """A tokenizer and, where there is one, the masked model on its codes."""

    def __init__(self, record: ModelRecord) -> None:
        super().__init__()
        self.record = record
        self.tokenizer = BrainTokenizer(record.tokenizer)
        self.masked_model: MaskedBrainModel | None = None
        if record.masked_model is not None:
            self.masked_model = MaskedBrainModel(
                record.masked_model,
                self.tokenizer.quantizer.codebooks,
                self.tokenizer.gather.queries,
            )

    def share_codes(self) -> None:
        """Give the masked model the tokenizer's codebooks and source vectors."""
        if self.masked_model is not None:
            self.masked_model.codebooks.copy_(self.tokenizer.quantizer.codebooks)
            self.masked_model.sources.copy_(self.tokenizer.gather.queries.detach())


def software_versions() -> dict[str, str]:
    """Return the versions that made a result."""
    found = {"python": platform.python_version()}
    for name in ("brainfm-toolkit", "torch", "lightning", "mne", "numpy", "scipy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def codes_digest(tokenizer: BrainTokenizer) -> str:
    """Return a hash of everything that turns a signal into codes."""
    # What training recomputes changes no code.
    cfg = {k: v for k, v in to_json(tokenizer.cfg).items() if k != "recompute"}
    state = hashlib.sha256(json.dumps(cfg, sort_keys=True).encode())
    for name, value in sorted(tokenizer.state_dict().items()):
        if not name.startswith(("decoder.", "spread.")):
            state.update(name.encode())
            state.update(value.detach().cpu().contiguous().numpy().tobytes())
    return state.hexdigest()


def save_checkpoint(model: BrainModel, folder: str | Path) -> Path:
    """Write a checkpoint folder; the configuration, written last, makes it whole.

    Returns
    -------
    Path
        The folder.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG).unlink(missing_ok=True)
    tensors = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    content = save(tensors, metadata={"format": "pt"})
    config = {
        "format": FORMAT,
        **model.record.to_json(),
        "weights": {"file": WEIGHTS, "sha256": hashlib.sha256(content).hexdigest()},
        "codes_digest": codes_digest(model.tokenizer),
        "software": software_versions(),
    }
    write_bytes_atomic(folder / WEIGHTS, content)
    write_text_atomic(folder / CARD, model_card(model.record.to_json(), count_parameters(model)))
    write_json_atomic(folder / CONFIG, config)
    return folder


def count_parameters(model: nn.Module) -> int:
    """Return the number of trained numbers and codebook entries."""
    codebooks = [b for name, b in model.named_buffers() if name.endswith("_codebook.embed")]
    return sum(p.numel() for p in model.parameters()) + sum(b.numel() for b in codebooks)


def read_config(folder: str | Path) -> dict[str, Any]:
    """Return the configuration of a checkpoint folder as JSON values."""
    path = Path(folder) / CONFIG
    if not path.is_file():
        raise FileNotFoundError(
            f"{folder} is no checkpoint folder (it has no {CONFIG}); 'brainfm export RUN --out "
            "DIR' makes one"
        )
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}); copy the checkpoint again") from error
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        found = config.get("format") if isinstance(config, dict) else None
        raise ValueError(
            f"{path} has format {found}, this brainfm reads format {FORMAT}; install the version "
            "that wrote it"
        )
    return config


def load_checkpoint(folder: str | Path) -> BrainModel:
    """Load a checkpoint folder in eval mode on the CPU.

    Raises
    ------
    FileNotFoundError
        Folder or file missing.
    ValueError
        Damaged or foreign file; a tensor missing, left over, or of another shape or dtype.
    """
    folder = Path(folder)
    config = read_config(folder)
    fields = {name: config.get(name) for name in ("tokenizer", "masked_model", "processing")}
    fields["training"] = config.get("training", {})
    record = ModelRecord.from_json(fields, str(folder / CONFIG))
    path = folder / WEIGHTS
    if not path.is_file():
        raise FileNotFoundError(f"{folder} has no {WEIGHTS}; copy the checkpoint again")
    content = path.read_bytes()
    expected = config.get("weights", {}).get("sha256")
    if hashlib.sha256(content).hexdigest() != expected:
        raise ValueError(f"{path} is not the file {CONFIG} belongs to (digest differs); copy again")
    try:
        tensors = load(content)
    except SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file ({error})") from error
    model = BrainModel(record)
    load_strictly(model, tensors, str(path))
    model.share_codes()
    return model.eval().requires_grad_(False)


def load_strictly(module: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Load all of ``tensors`` into all of ``module``, or raise and say what does not fit."""
    own = module.state_dict()
    problems = [f"missing {name}" for name in own if name not in tensors]
    problems += [f"unexpected {name}" for name in tensors if name not in own]
    for name in own.keys() & tensors.keys():
        have, want = tensors[name], own[name]
        if have.shape != want.shape:
            problems.append(f"{name} is {tuple(have.shape)}, expected {tuple(want.shape)}")
        elif have.dtype != want.dtype:
            problems.append(f"{name} is {have.dtype}, expected {want.dtype}")
    if problems:
        shown = "; ".join(sorted(problems)[:5])
        more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise ValueError(f"{where} does not fit its configuration: {shown}{more}")
    module.load_state_dict(tensors, strict=True)


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


def copy_checkpoint(source: str | Path, target: str | Path) -> None:
    """Copy a checkpoint folder, the configuration last."""
    source, target = Path(source), Path(target)
    target.mkdir(parents=True, exist_ok=True)
    for name in (WEIGHTS, CARD, CONFIG):
        if not (target / name).exists():
            temporary = target / f".{name}.tmp"
            shutil.copyfile(source / name, temporary)
            temporary.replace(target / name)
