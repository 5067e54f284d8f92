"""Training of the masked model (stage 2) as a LightningModule.

Shapes: B batch, N sources, P frames, Q quantizers, K codes a level.
"""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from lightning import LightningModule
from torch import Tensor

from brainfm.checkpoints import ModelRecord, copy_checkpoint
from brainfm.code_loader import CodeBatch
from brainfm.codes import TOKENIZER
from brainfm.masked_model import MaskedBrainModel, MaskedModelConfig
from brainfm.masking import MaskConfig, mask_codes
from brainfm.optimisation import OptimizerConfig, build_optimizer

from .data import CodeData


class MaskedModule(LightningModule):
    """Predict hidden codes.

    Parameters
    ----------
    model
        Architecture; the codes' sizes come from the data.
    masking
        What is hidden.
    optimizer
        How weights move.
    validation_seed
        Of the masks of validation, which are the same in every epoch.
    """

    def __init__(
        self,
        model: MaskedModelConfig,
        masking: MaskConfig,
        optimizer: OptimizerConfig,
        validation_seed: int = 0,
    ) -> None:
        super().__init__()
        self.config = model
        self.masking = masking
        self.optimizer = optimizer
        self.validation_seed = validation_seed
        self.model: MaskedBrainModel | None = None
        self.register_buffer("unigram", torch.zeros(0), persistent=False)
        self.unigram: Tensor

    @property
    def data(self) -> CodeData:
        """Return the data module."""
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        assert isinstance(data, CodeData)
        return data

    def configure_model(self) -> None:
        """Build the model around the codebooks that the codes belong to."""
        if self.model is None:
            codebooks, sources = self.data.code_vectors()
            self.model = MaskedBrainModel(self.config, codebooks, sources)
            self.unigram = self.data.unigram().to(self.device)

    def on_fit_start(self) -> None:
        """Keep the tokenizer with the run, so that the run can be exported wherever it is moved."""
        if self.trainer.is_global_zero:
            run = Path(self.trainer.default_root_dir)
            copy_checkpoint(self.data.codes.path / TOKENIZER, run / TOKENIZER)

    def forward(self, codes: Tensor, hidden: Tensor | None = None) -> Tensor:
        """Return logits (B, N, P, Q, K) of codes (B, N, P, Q)."""
        assert self.model is not None
        return self.model(codes, hidden)

    def _losses(self, codes: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Return cross-entropy (Q,), accuracy (Q,) and the targets (M, Q) of hidden tokens."""
        masked = mask_codes(codes, self.masking, generator=generator)
        logits = self(masked.codes, masked.hidden)[masked.chosen]
        target = codes[masked.chosen].long()[:, : logits.shape[1]]
        loss = F.cross_entropy(logits.transpose(1, 2).float(), target, reduction="none")
        return loss.mean(0), (logits.argmax(-1) == target).float().mean(0), target

    def training_step(self, batch: CodeBatch, batch_idx: int) -> Tensor:
        """Return the mean cross-entropy over levels."""
        generator = torch.Generator().manual_seed(int(torch.randint(2**31, ()).item()))
        loss, accuracy, _ = self._losses(batch.codes, generator)
        self.log("train/loss", loss.mean(), prog_bar=True)
        self.log_dict({f"train/accuracy_{q}": value for q, value in enumerate(accuracy)})
        return loss.mean()

    def validation_step(self, batch: CodeBatch, batch_idx: int) -> None:
        """Log loss and accuracy per level beside what the unigram of the training codes scores."""
        self._evaluate(batch, batch_idx, "validation")

    def test_step(self, batch: CodeBatch, batch_idx: int) -> None:
        """Log the same for the test side."""
        self._evaluate(batch, batch_idx, "test")

    def predict_step(self, batch: CodeBatch, batch_idx: int) -> Tensor:
        """Return the features (B, N, P, D) of a batch."""
        assert self.model is not None
        return self.model.features(batch.codes)

    def _evaluate(self, batch: CodeBatch, batch_idx: int, side: str) -> None:
        generator = torch.Generator().manual_seed(self.validation_seed + batch_idx)
        loss, accuracy, target = self._losses(batch.codes, generator)
        n = len(target)
        # "Best" goes by it, so that it has to be that of all ranks.
        self.log(f"{side}/loss", loss.mean(), batch_size=n, prog_bar=True, sync_dist=True)
        unigram = self.unigram[: target.shape[1]]
        unigram_loss = -unigram.gather(1, target.T).mean(1)
        unigram_hit = (unigram.argmax(1) == target).float().mean(0)
        self.log(f"{side}/unigram_loss", unigram_loss.mean(), batch_size=n)
        for q in range(target.shape[1]):
            self.log(f"{side}/loss_{q}", loss[q], batch_size=n)
            self.log(f"{side}/accuracy_{q}", accuracy[q], batch_size=n)
            self.log(f"{side}/unigram_loss_{q}", unigram_loss[q], batch_size=n)
            self.log(f"{side}/unigram_accuracy_{q}", unigram_hit[q], batch_size=n)

    def configure_optimizers(self) -> Any:
        """Return AdamW with a schedule per step."""
        total = int(self.trainer.estimated_stepping_batches)
        return build_optimizer(self.parameters(), self.optimizer, total)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put everything that ``brainfm export`` needs beside the weights."""
        base = self.data.tokenizer_record
        training = {
            **base.training,
            "masked_model": {**self.data.summary(), "steps": self.global_step},
            "context_frames": self.data.context_frames,
        }
        record = ModelRecord(
            tokenizer=base.tokenizer,
            masked_model=self.config,
            processing=base.processing,
            training=training,
        )
        checkpoint["brainfm"] = {"stage": "pretrain", "record": record.to_json()}
