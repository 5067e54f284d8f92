"""Checkpoint folders: ``config.json``, ``model.safetensors``, ``README.md``, manifests of splits.

Loading is strict and reads nothing but JSON and safetensors: no pickle, no DeepSpeed.
"""

import hashlib
import json
import platform
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from brainfm.atomic import write_bytes_atomic, write_json_atomic, write_text_atomic
from brainfm.brain_tokenizer import BrainTokenizer, TokenizerConfig
from brainfm.config_json import from_json, to_json
from brainfm.input_contract import InputContract
from brainfm.masked_model import MaskedBrainModel, MaskedModelConfig
from brainfm.model_card import model_card
from brainfm.pretraining_splits import keep_split, split_file
from brainfm.processing import ProcessingConfig
from brainfm.splits import Split
from brainfm.strict_loading import load_strictly

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
        How recordings are prepared for it.
    input_contract
        What becomes of signals and positions after that: "brainfm", nothing; "brainomni", what
        published models were trained on (:mod:`brainfm.input_contract`).
    training
        What it was trained on and for how long, as JSON values.
    fidelity
        What was measured of its codes (:func:`brainfm.fidelity_summary.fidelity_summary`).
    sections
        Further sections of its card, Markdown.
    """

    tokenizer: TokenizerConfig
    masked_model: MaskedModelConfig | None
    processing: ProcessingConfig
    training: dict[str, Any] = field(default_factory=dict)
    input_contract: InputContract = "brainfm"
    fidelity: dict[str, Any] = field(default_factory=dict)
    sections: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.input_contract not in ("brainfm", "brainomni"):
            raise ValueError(
                f"input_contract must be 'brainfm' or 'brainomni', got {self.input_contract!r}"
            )
        if self.input_contract == "brainomni" and self.tokenizer.causal:
            raise ValueError(
                "input_contract must be 'brainfm' for a causal tokenizer: 'brainomni' standardises "
                "30 s at once, so a code would depend on samples that come after it"
            )
        if self.input_contract == "brainomni" and max(self.tokenizer.types.values()) > 2:
            raise ValueError(
                "input_contract 'brainomni' knows the rows 0 (EEG), 1 (magnetometer) and 2 "
                f"(gradiometer) of tokenizer.types, got {dict(self.tokenizer.types)}"
            )

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return to_json(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any], where: str) -> "ModelRecord":
        """Read what :meth:`to_json` returned, or did before it had the last three fields."""
        later = {"input_contract": "brainfm", "fidelity": {}, "sections": []}
        return from_json(cls, {**later, **values}, where)


class BrainModel(nn.Module):
    """A tokenizer and, where there is one, the masked model on its codes.

    Parameters
    ----------
    record
        Everything but the weights.
    splits
        What it was trained by, as far as it is at hand.
    """

    def __init__(self, record: ModelRecord, splits: Iterable[Split] = ()) -> None:
        super().__init__()
        self.record = record
        self.splits = tuple(splits)
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
            tokenizer = self.tokenizer
            self.masked_model.share(tokenizer.quantizer.codebooks, tokenizer.gather.queries)


def software_versions() -> dict[str, str]:
    """Return the versions that made a result."""
    found = {"python": platform.python_version()}
    for name in ("brainfm-toolkit", "torch", "lightning", "mne", "numpy", "scipy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def codes_digest(tokenizer: BrainTokenizer, input_contract: InputContract = "brainfm") -> str:
    """Return a hash of everything that turns a signal into codes."""
    # What training recomputes changes no code.
    cfg = {k: v for k, v in to_json(tokenizer.cfg).items() if k != "recompute"}
    if input_contract != "brainfm":
        cfg["input_contract"] = input_contract
    state = hashlib.sha256(json.dumps(cfg, sort_keys=True).encode())
    for name, value in sorted(tokenizer.state_dict().items()):
        if not name.startswith(("decoder.", "spread.")):
            state.update(name.encode())
            state.update(value.detach().cpu().contiguous().numpy().tobytes())
    return state.hexdigest()


def save_checkpoint(model: BrainModel, folder: str | Path) -> Path:
    """Write a checkpoint folder and return it; the configuration, written last, makes it whole."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG).unlink(missing_ok=True)
    tensors = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    content = save(tensors, metadata={"format": "pt"})
    config = {
        "format": FORMAT,
        **model.record.to_json(),
        "weights": {"file": WEIGHTS, "sha256": hashlib.sha256(content).hexdigest()},
        "codes_digest": codes_digest(model.tokenizer, model.record.input_contract),
        "splits": _write_splits(model.splits, folder),
        "software": software_versions(),
    }
    write_bytes_atomic(folder / WEIGHTS, content)
    card = model_card(model.record.to_json(), count_parameters(model), model.splits)
    write_text_atomic(folder / CARD, card)
    write_json_atomic(folder / CONFIG, config)
    return folder


def _write_splits(splits: Iterable[Split], folder: Path) -> dict[str, str]:
    """Write manifests, remove those of an earlier checkpoint, and return the hash of each file."""
    names = {split_file(split.digest) for split in splits}
    for old in folder.glob(split_file("*")):
        old.unlink()
    paths = [keep_split(folder, split) for split in splits]
    assert names == {path.name for path in paths}
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


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


def read_record(folder: str | Path) -> ModelRecord:
    """Return everything that a checkpoint folder says of its model, without the weights."""
    return _record_of(read_config(folder), Path(folder))


def _record_of(config: Mapping[str, Any], folder: Path) -> ModelRecord:
    fields = {name: config.get(name) for name in ("tokenizer", "masked_model", "processing")}
    fields["training"] = config.get("training", {})
    later = ("input_contract", "fidelity", "sections")
    fields |= {name: config[name] for name in later if name in config}
    return ModelRecord.from_json(fields, str(folder / CONFIG))


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
    record = _record_of(config, folder)
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
    model = BrainModel(record, _read_splits(folder, config))
    if model.masked_model is not None and "masked_model.sources" in tensors:
        model.masked_model.keep_sources()
    load_strictly(model, tensors, str(path))
    model.share_codes()
    return model.eval().requires_grad_(False)


def checkpoint_splits(folder: str | Path) -> list[Split]:
    """Return the splits that a checkpoint's stages were trained by, as far as it holds them.

    Raises
    ------
    FileNotFoundError, ValueError
        No checkpoint folder, or a manifest in it is missing or damaged.
    """
    return list(_read_splits(Path(folder), read_config(folder)))


def _read_splits(folder: Path, config: Mapping[str, Any]) -> tuple[Split, ...]:
    found = []
    for name, expected in _listed_splits(folder, config).items():
        path = folder / name
        if not path.is_file():
            raise FileNotFoundError(f"{folder} has no {name}; copy the checkpoint again")
        if hashlib.sha256(path.read_bytes()).hexdigest() != expected:
            raise ValueError(
                f"{path} is not the file {CONFIG} belongs to (digest differs); copy again"
            )
        found.append(Split.load(path))
    return tuple(found)


def _listed_splits(folder: Path, config: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the manifests that a configuration lists and their hashes; older ones list none."""
    listed = config.get("splits", {})
    if not isinstance(listed, Mapping) or any(name != Path(name).name for name in listed):
        raise ValueError(
            f"{folder / CONFIG}: splits must give a hash for each file name of a split"
        )
    return listed


def copy_checkpoint(source: str | Path, target: str | Path) -> None:
    """Copy a checkpoint folder, the configuration last."""
    source, target = Path(source), Path(target)
    target.mkdir(parents=True, exist_ok=True)
    for name in (WEIGHTS, CARD, *_listed_splits(source, read_config(source)), CONFIG):
        if not (target / name).exists():
            temporary = target / f".{name}.tmp"
            shutil.copyfile(source / name, temporary)
            temporary.replace(target / name)
