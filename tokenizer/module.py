"""Training of the tokenizer (stage 1) as a LightningModule.

Shapes: B batch, C sensors, N sources, P latent frames, Q quantizers.
"""

import sys
from typing import Any, Literal

import torch
from lightning import LightningModule
from torch import Tensor
from torch.optim import Optimizer

from brainfm.augmentation import NO_AUGMENTATION, AugmentationConfig
from brainfm.batches import Batch
from brainfm.brain_tokenizer import BrainTokenizer, Reconstruction, TokenizerConfig
from brainfm.checkpoints import ModelRecord
from brainfm.codebook_start import CodebookStart
from brainfm.finite_guard import FiniteGuard, broken_samples
from brainfm.gradient_norm import guard_step
from brainfm.objective import ObjectiveConfig, as_config
from brainfm.optimisation import OptimizerConfig, build_optimizer
from brainfm.pretraining_splits import keep_split
from brainfm.reconstruction_scores import Loss, fidelity_scores, loss_of
from brainfm.token_statistics import SideStatistics
from brainfm.training_view import reconstruct_batch, training_view


class TokenizerModule(LightningModule):
    """Reconstruct all channels from the codes of some.

    Parameters
    ----------
    model
        Architecture.
    objective
        The loss: ``brainfm``, ``brainomni`` as published, or one of them with other weights.
    optimizer
        How weights move.
    augmentation
        How sensor arrays vary in training.
    hidden_channels
        Share of each sample's channels that the encoder does not see, in [0, 1).
    quantize_after
        Optimizer steps before the codebooks come in; until then latents pass as they are.
    max_skipped_steps
        Steps in a row with numbers that are not finite, all skipped, at which training stops.
    """

    def __init__(
        self,
        model: TokenizerConfig,
        optimizer: OptimizerConfig,
        objective: Literal["brainfm", "brainomni"] | ObjectiveConfig = "brainfm",
        augmentation: AugmentationConfig = NO_AUGMENTATION,
        hidden_channels: float = 0.25,
        quantize_after: int = 100,
        max_skipped_steps: int = 10,
    ) -> None:
        super().__init__()
        if not 0 <= hidden_channels < 1:
            raise ValueError(f"hidden_channels must lie in [0, 1), got {hidden_channels}")
        self.objective, self.optimizer = as_config(objective), optimizer
        self.augmentation, self.hidden_channels = augmentation, hidden_channels
        self.start, self.guard = CodebookStart(quantize_after), FiniteGuard(max_skipped_steps)
        self.tokenizer = BrainTokenizer(model)
        size = model.quantizer.n_quantizers, model.quantizer.codebook_size
        rate = model.sfreq / model.hop * model.n_sources
        self.usage = SideStatistics(*size, rate)

    def setup(self, stage: str) -> None:
        """Refuse samples that the tokenizer would fill up with silence."""
        cfg, seconds = self.tokenizer.cfg, self._data.window_s
        if round(seconds * cfg.sfreq) % cfg.window:
            raise ValueError(
                f"--data.window_s is {seconds:g} s, which is no multiple of the tokenizer's window "
                f"of {cfg.window / cfg.sfreq:g} s (--model.model.window {cfg.window})"
            )

    def configure_model(self) -> None:
        """Share codebook statistics between ranks now that their number is known."""
        self.tokenizer.quantizer.synchronise(self.trainer.world_size > 1)

    def forward(self, batch: Batch, **changes: Tensor) -> Reconstruction:
        """Reconstruct a batch; see :func:`brainfm.training_view.reconstruct_batch`."""
        quantizer = self.tokenizer.quantizer
        quantize = self.start.due(self.global_step, quantizer, training=self.training)
        return reconstruct_batch(self.tokenizer, batch, quantize=quantize, **changes)

    def on_fit_start(self) -> None:
        """Keep the split with the run: whoever has the model can tell what it was trained on."""
        if self.trainer.is_global_zero:
            keep_split(self.trainer.default_root_dir, self._data.split)
            end = self.trainer.estimated_stepping_batches
            if end <= self.start.at_step:
                print(
                    f"training ends after {end} steps, before codebooks come in "
                    f"(--model.quantize_after {self.start.at_step}): such a model has no codes and "
                    "cannot be exported",
                    file=sys.stderr,
                )

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of a batch with some channels hidden."""
        seed = int(torch.randint(2**31, ()).item())
        draws = torch.Generator(batch.x.device).manual_seed(seed)
        hidden, recipe = self.hidden_channels, self.objective.recipe
        view = training_view(batch, self.augmentation, hidden, recipe, generator=draws)
        result = self(view.batch, seen=view.seen, x=view.x)
        self.start.add(result.latents, self.global_step, self.tokenizer.quantizer)
        self.usage.update(result.quantized.codes, "train")
        loss = self._loss(result, view.batch)
        self.log_dict({f"train/{name}": value for name, value in loss.named().items()})
        self.log("train/correlation", loss.correlation, prog_bar=True)
        return self.guard.loss(
            loss.total,
            view.broken | broken_samples(result.waveform),
            self.tokenizer.parameters(),
            step=self.global_step,
            names=lambda broken: self._data.names(batch.recording[broken].tolist()),
        )

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Log the norm of the gradient; no step where it is not finite."""
        guard_step(self, self.guard, optimizer)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Log fidelity with every channel visible and nothing random."""
        self._evaluate(batch, "validation")

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Log the same for the test side."""
        self._evaluate(batch, "test")

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the codes (B, N, P, Q) of a batch."""
        return self(batch).quantized.codes

    @property
    def _data(self) -> Any:
        return self.trainer.datamodule  # type: ignore[attr-defined]

    def _loss(self, result: Reconstruction, batch: Batch) -> Loss:
        return loss_of(result, batch, self.objective, self.tokenizer.cfg)

    def _evaluate(self, batch: Batch, side: str) -> None:
        result = self(batch)
        # "Best" goes by the loss: it has to be that of all ranks, and through codes. Without them
        # it is lower, and the best would be a model that has none.
        name = "loss" if self.tokenizer.quantizer.initialised else "loss_without_codes"
        loss = self._loss(result, batch).total
        self.log(f"{side}/{name}", loss, batch_size=len(batch.x), sync_dist=True)
        scores = fidelity_scores(result.waveform, batch, self.objective, self.tokenizer.cfg)
        for name, (value, n) in scores.items():
            self.log(f"{side}/{name}", value, batch_size=n, prog_bar=name == "correlation")
        self.usage.update(result.quantized.codes, side)

    def on_validation_epoch_end(self) -> None:
        """Log how each codebook was used, in training since the last time."""
        self.log_dict(self.usage.named("train", "validation"))

    def on_test_epoch_end(self) -> None:
        """Log how each codebook is used."""
        self.log_dict(self.usage.named("test"))

    def configure_optimizers(self) -> Any:
        """Return AdamW with a schedule per step."""
        total = int(self.trainer.estimated_stepping_batches)
        return build_optimizer(self.tokenizer.parameters(), self.optimizer, total)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put everything that ``brainfm export`` needs beside the weights."""
        trained = {"steps": self.global_step, "objective": self.objective.name}
        record = ModelRecord(
            tokenizer=self.tokenizer.cfg,
            masked_model=None,
            processing=self._data.processing,
            training={"tokenizer": self._data.summary() | trained},
        )
        checkpoint["brainfm"] = {"stage": "tokenizer", "record": record.to_json()}
