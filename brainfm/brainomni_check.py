"""Compare an imported BrainOmni model with stored inputs and outputs of the released code.

Shapes: B batch, C sensors, T samples, W windows, L samples a window, N sources, P frames a window,
D width.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import torch
from einops import rearrange
from torch import Tensor

from brainfm.brain_tokenizer import Sensors
from brainfm.brainomni_weights import read_state
from brainfm.checkpoints import BrainModel

TOLERANCE = 1e-5
"""Largest difference that counts as float32 rounding, relative to max(1, largest magnitude)."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One output of the released code beside ours.

    Parameters
    ----------
    name
        As in ``outputs.pt``.
    difference
        Largest absolute difference; for codes the number that differ; None if not compared.
    tolerance
        Largest difference allowed.
    note
        Why it was not compared.
    """

    name: str
    difference: float | None = None
    tolerance: float = 0.0
    note: str = ""

    @property
    def within(self) -> bool | None:
        """Tell whether the difference is within tolerance; None if not compared."""
        return None if self.difference is None else self.difference <= self.tolerance


def check_import(model: BrainModel, folder: str | Path) -> list[Comparison]:
    """Compare every output that ``folder`` stores.

    Parameters
    ----------
    model
        The imported model.
    folder
        ``inputs.pt``: x (B, C, T), pos (B, C, 6), sensor_type (B, C). ``outputs.pt``: any of
        sensor_embedding, encoder_output, features_overlap_PERCENT, codes_overlap_PERCENT, target,
        reconstruction, hidden, logits; ``hidden_exported`` is of the weights whose rotary tables
        lost their imaginary part, ``hidden`` then of the others.

    Raises
    ------
    FileNotFoundError, ValueError
        A file is missing or holds nothing to compare.
    """
    inputs, expected = (_read(Path(folder) / name) for name in ("inputs.pt", "outputs.pt"))
    missing = sorted({"x", "pos", "sensor_type"} - set(inputs))
    if missing:
        raise ValueError(f"{Path(folder) / 'inputs.pt'} lacks {', '.join(missing)}")
    with torch.inference_mode():
        reference = _Reference(model, inputs, expected)
        comparisons = [reference.compare(name, value) for name, value in expected.items()]
    if all(c.within is None for c in comparisons):
        raise ValueError(f"{Path(folder) / 'outputs.pt'} holds no output that can be compared")
    return comparisons


def print_comparisons(comparisons: list[Comparison]) -> None:
    """Print a table with the largest difference of every output."""
    from rich.console import Console
    from rich.table import Table

    table = Table()
    table.add_column("output", no_wrap=True)
    for column in ("largest difference", "tolerance"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("")
    for c in comparisons:
        if c.difference is None:
            table.add_row(c.name, "-", "-", c.note)
            continue
        what = " codes" if c.name.startswith("codes") else ""
        verdict = "equal" if c.within else c.note or "DIFFERS"
        table.add_row(c.name, f"{c.difference:.3g}{what}", f"{c.tolerance:.1e}", verdict)
    Console(soft_wrap=True).print(table)


def published_target(windows: Tensor) -> Tensor:
    """Return what the published tokenizer reconstructs: windows (..., L), each z-scored."""
    centred = windows - windows.mean(-1, keepdim=True)
    return centred / (windows.std(-1, keepdim=True) + 1e-6)


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    return read_state(path)


class _Reference:
    """Our outputs under the names of the released code's."""

    def __init__(
        self, model: BrainModel, inputs: dict[str, Tensor], expected: dict[str, Tensor]
    ) -> None:
        self.tokenizer, self.masked = model.tokenizer, model.masked_model
        self.x = inputs["x"].float()
        positions, orientations = inputs["pos"].float().split(3, dim=-1)
        # Stored positions are the network's own input, not metres.
        positions = positions * self.tokenizer.cfg.position_scale
        mask = torch.ones(self.x.shape[:2], dtype=torch.bool)
        types = inputs["sensor_type"].long()
        self.sensors: Sensors = self.tokenizer.embed_sensors(positions, orientations, types, mask)
        lost = self.masked is not None and self.masked.cfg.rotary == "cosine_only"
        self.suffix = "_exported" if lost and "hidden_exported" in expected else ""

    def compare(self, name: str, expected: Tensor) -> Comparison:
        """Compare one output."""
        found = self._compute(name)
        if isinstance(found, str):
            return Comparison(name=name, note=found)
        if found.shape != expected.shape:
            note = f"shape {tuple(found.shape)}, expected {tuple(expected.shape)}"
            return Comparison(name=name, difference=float("inf"), note=note)
        if name.startswith("codes"):
            return Comparison(name=name, difference=float((found != expected).sum()))
        difference = (found.double() - expected.double()).abs().max().item()
        # A NaN differs from everything, itself included.
        difference = float("inf") if difference != difference else difference
        largest = max(1.0, expected.abs().max().item())
        return Comparison(name=name, difference=difference, tolerance=TOLERANCE * largest)

    def _compute(self, name: str) -> Tensor | str:
        overlap = re.fullmatch(r"(codes|features)_overlap_(\d+)", name)
        if overlap:
            quantized = self.tokenizer.quantizer(self._latents(int(overlap[2]) / 100))
            return quantized.codes if overlap[1] == "codes" else quantized.values
        if name == "sensor_embedding":
            return self.sensors.embedding
        if name == "encoder_output":
            return self._encoder_output()
        if name == "target":
            return published_target(self._windows(0.0))
        if name == "reconstruction":
            values = self.tokenizer.quantizer(self._latents(0.0)).values
            return self.tokenizer.decode(values, self.sensors)
        if name.removesuffix("_exported") in ("hidden", "logits"):
            return self._masked_output(name)
        return "unknown output"

    def _masked_output(self, name: str) -> Tensor | str:
        if self.masked is None:
            return "no masked model"
        kind = name.removesuffix("_exported")
        if name != kind + self.suffix:
            return "other rotary variant"
        codes = self.tokenizer.quantizer(self._latents(self.tokenizer.cfg.overlap)).codes
        return self.masked.features(codes) if kind == "hidden" else self.masked(codes).flatten(-2)

    def _windows(self, overlap: float) -> Tensor:
        x = self.x
        if overlap == 0 and x.shape[-1] > self.tokenizer.cfg.window:
            # The released code drops an incomplete last window where windows do not overlap.
            x = x[..., : x.shape[-1] // self.tokenizer.cfg.window * self.tokenizer.cfg.window]
        return self.tokenizer.cut(x, overlap)

    def _latents(self, overlap: float) -> Tensor:
        return self.tokenizer.encode(self._windows(overlap), self.sensors)

    def _encoder_output(self) -> Tensor:
        """Return latents (B, N, W, P, D) before they are brought to unit length."""
        windows = self._windows(0.0)
        n_batch, n_sensors, n_windows = windows.shape[:3]
        z = self.tokenizer.encoder(rearrange(windows, "b c w l -> (b c w) l"))
        z = rearrange(z, "(b c w) p d -> b c (w p) d", b=n_batch, c=n_sensors)
        z = self.tokenizer.gather(z, *self.sensors)
        return rearrange(z, "b n (w p) d -> b n w p d", w=n_windows)
