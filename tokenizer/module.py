"""Training of the tokenizer (stage 1) as a LightningModule.

Shapes: B batch, C sensors, T samples.
"""

from typing import Any

import torch
from lightning import LightningModule
from torch import Tensor

from brainfm.batches import Batch
from brainfm.brain_tokenizer import BrainTokenizer, Reconstruction, Sensors, TokenizerConfig
from brainfm.checkpoints import ModelRecord
from brainfm.objective import (
    ObjectiveConfig,
    correlation,
    hide_channels,
    reconstruction_terms,
    weighted_sum,
)
from brainfm.optimisation import OptimizerConfig, build_optimizer
from brainfm.sensors import SENSOR_TYPES
from brainfm.token_statistics import CodeUsage

INITIAL_STEPS = 32
INITIAL_LATENTS = 2**15
"""Steps whose latents, and how many latents at most, the codebooks start from."""


class TokenizerModule(LightningModule):
    """Reconstruct all channels from the codes of some.

    Parameters
    ----------
    model
        Architecture.
    objective
        Weights of the loss.
    optimizer
        How weights move.
    hidden_channels
        Share of each sample's channels that the encoder does not see, in [0, 1).
    quantize_after
        Optimizer steps before the codebooks come in; until then latents pass as they are.
    """

    def __init__(
        self,
        model: TokenizerConfig,
        objective: ObjectiveConfig,
        optimizer: OptimizerConfig,
        hidden_channels: float = 0.25,
        quantize_after: int = 100,
    ) -> None:
        super().__init__()
        if not 0 <= hidden_channels < 1:
            raise ValueError(f"hidden_channels must lie in [0, 1), got {hidden_channels}")
        self.objective = objective
        self.optimizer = optimizer
        self.hidden_channels = hidden_channels
        self.quantize_after = quantize_after
        self.tokenizer = BrainTokenizer(model)
        self.latents: list[Tensor] = []
        self.usage = CodeUsage(model.quantizer.n_quantizers, model.quantizer.codebook_size)

    def configure_model(self) -> None:
        """Share codebook statistics between ranks now that their number is known."""
        self.tokenizer.quantizer.synchronise(self.trainer.world_size > 1)

    def forward(self, batch: Batch, seen: Tensor | None = None) -> Reconstruction:
        """Reconstruct a batch from the channels in ``seen`` (B, C); all that are good if None."""
        sensors = self.tokenizer.embed_sensors(
            batch.positions, batch.orientations, batch.types, batch.mask
        )
        visible = Sensors(sensors.embedding, batch.mask if seen is None else seen)
        quantize = not self.training or self.global_step >= self.quantize_after
        quantize = quantize and (self.training or self.tokenizer.quantizer.initialised)
        windows = self.tokenizer.cut(batch.x, overlap=0.0)
        return self.tokenizer(windows, visible, sensors, quantize=quantize)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of a batch with some channels hidden."""
        generator = torch.Generator().manual_seed(int(torch.randint(2**31, ()).item()))
        seen = hide_channels(batch.mask, self.hidden_channels, generator=generator)
        result = self(batch, seen)
        self._collect(result.latents)
        terms = reconstruction_terms(
            result.waveform, self.tokenizer.cut(batch.x, overlap=0.0), batch.mask
        )
        terms["commitment"] = result.quantized.commitment
        loss = weighted_sum(terms, self.objective)
        self.log_dict({f"train/{name}": value for name, value in terms.items()})
        self.log("train/loss", loss, prog_bar=True)
        self.log("train/correlation", 1 - terms["shape"].detach(), prog_bar=True)
        return loss

    def _collect(self, latents: Tensor) -> None:
        """Keep latents of the last steps before quantization and set the codebooks from them."""
        remaining = self.quantize_after - self.global_step
        if self.tokenizer.quantizer.initialised or remaining > INITIAL_STEPS:
            return
        self.latents.append(latents.detach().flatten(0, -2))
        if remaining <= 1:
            self.tokenizer.quantizer.initialise(torch.cat(self.latents)[-INITIAL_LATENTS:])
            self.latents.clear()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Log fidelity with every channel visible and nothing random."""
        self._evaluate(batch, "validation")

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Log the same for the test side."""
        self._evaluate(batch, "test")

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the codes (B, N, P, Q) of a batch."""
        return self(batch).quantized.codes

    def _evaluate(self, batch: Batch, side: str) -> None:
        result = self(batch)
        target = self.tokenizer.cut(batch.x, overlap=0.0)
        terms = reconstruction_terms(result.waveform, target, batch.mask)
        terms["commitment"] = result.quantized.commitment
        silent = reconstruction_terms(torch.zeros_like(target), target, batch.mask)
        n = len(batch.x)
        self.log(f"{side}/loss", weighted_sum(terms, self.objective), batch_size=n)
        self.log(f"{side}/error", terms["amplitude"], batch_size=n)
        self.log(f"{side}/error_of_zero", silent["amplitude"], batch_size=n)
        r = correlation(result.waveform, target).mean(-1)
        self.log(f"{side}/correlation", r[batch.mask].mean(), batch_size=n, prog_bar=True)
        for name, kind in SENSOR_TYPES.items():
            chosen = batch.mask & (batch.types == kind.code)
            if chosen.any():
                count = int(chosen.sum())
                self.log(f"{side}/correlation_{name}", r[chosen].mean(), batch_size=count)
        if result.quantized.codes.shape[-1]:
            self.usage.update(result.quantized.codes)

    def on_validation_epoch_end(self) -> None:
        """Log how much of each codebook is used."""
        if self.usage.total > 0:
            for level, share in enumerate(self.usage.compute().tolist()):
                self.log(f"validation/usage_{level}", share)
        self.usage.reset()

    def configure_optimizers(self) -> Any:
        """Return AdamW with a schedule per step."""
        total = int(self.trainer.estimated_stepping_batches)
        return build_optimizer(self.tokenizer.parameters(), self.optimizer, total)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put everything that ``brainfm export`` needs beside the weights."""
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        record = ModelRecord(
            tokenizer=self.tokenizer.cfg,
            masked_model=None,
            processing=data.processing,
            training={"tokenizer": {**data.summary(), "steps": self.global_step}},
        )
        checkpoint["brainfm"] = {"stage": "tokenizer", "record": record.to_json()}
