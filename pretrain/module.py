"""Training of the masked model (stage 2) as a LightningModule.

Shapes: B batch, N sources, P frames, M tokens to predict, Q quantizers, K codes a level.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from lightning import LightningModule
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor
from torch.optim import Optimizer

from brainfm.checkpoints import copy_checkpoint
from brainfm.code_baselines import CodeBaselines, code_stretches, count_agreement
from brainfm.code_loader import CodeBatch
from brainfm.code_times import seconds_per_frame
from brainfm.codes import TOKENIZER
from brainfm.finite_guard import FiniteGuard, broken_samples
from brainfm.gradient_norm import guard_step
from brainfm.masked_model import MaskedBrainModel, MaskedModelConfig
from brainfm.masked_task import MaskedTask
from brainfm.masking import MaskConfig
from brainfm.optimisation import OptimizerConfig, build_optimizer
from brainfm.pretraining_splits import keep_split
from brainfm.token_statistics import SideStatistics
from brainfm.training_speed import BatchWork

from .data import CodeData


class MaskedModule(LightningModule):
    """Predict hidden codes.

    The loss is the mean of the levels' cross-entropies. What is hidden of a window follows from
    seed, optimizer step, recording and first frame, not from its place in a batch: any number of
    ranks and of accumulated batches hides the same.

    Parameters
    ----------
    model
        Architecture; the codes' sizes come from the data.
    masking
        What is hidden.
    optimizer
        How weights move.
    masking_seed
        Of the masks of training.
    validation_seed
        Of the masks of validation, which are the same in every epoch.
    compile
        Let torch.compile fuse the blocks: faster on GPUs after minutes at the start; on a CPU it
        does not pay. Changes no name of a weight.
    activation_checkpointing
        Compute the blocks' activations again in the backward pass instead of keeping them: a third
        more work, for memory that hardly grows with depth. Changes no result.
    max_skipped_steps
        Steps in a row with numbers that are not finite, all skipped, at which training stops.
    """

    def __init__(
        self,
        model: MaskedModelConfig,
        masking: MaskConfig,
        optimizer: OptimizerConfig,
        masking_seed: int = 0,
        validation_seed: int = 0,
        compile: bool = False,
        activation_checkpointing: bool = False,
        max_skipped_steps: int = 10,
    ) -> None:
        super().__init__()
        self.config, self.masking, self.optimizer = model, masking, optimizer
        self.masking_seed, self.validation_seed = masking_seed, validation_seed
        self.compiled, self.activation_checkpointing = compile, activation_checkpointing
        self.guard = FiniteGuard(max_skipped_steps)
        self.model: MaskedBrainModel | None = None
        self.task: MaskedTask | None = None
        self.usage: SideStatistics | None = None

    @property
    def data(self) -> CodeData:
        """Return the data module."""
        return self.trainer.datamodule  # type: ignore[attr-defined]

    def configure_model(self) -> None:
        """Build the model around the codebooks that the codes belong to."""
        if self.model is not None:
            return
        data, tokenizer = self.data, self.data.tokenizer_record.tokenizer
        self.model = MaskedBrainModel(self.config, *data.code_vectors())
        self.model.activation_checkpointing = self.activation_checkpointing
        if self.compiled:
            self.model.compile_blocks()
        agreement = count_agreement(code_stretches(data.codes, data.indices("train")))
        baselines = CodeBaselines(data.unigram(), agreement)
        self.task = MaskedTask(self.masking, tokenizer, data.context_frames, baselines)
        size = self.model.n_quantizers, self.model.codebook_size
        rate = tokenizer.n_sources / seconds_per_frame(tokenizer)
        self.usage = SideStatistics(*size, rate)

    def on_fit_start(self) -> None:
        """Keep tokenizer and split with the run, which can be exported wherever it is moved."""
        if self.trainer.is_global_zero:
            run = Path(self.trainer.default_root_dir)
            keep_split(run, self.data.split)
            copy_checkpoint(self.data.codes.tokenizer_folder, run / TOKENIZER)

    def forward(self, codes: Tensor, hidden: Tensor | None = None, **wanted: Tensor) -> Tensor:
        """Return logits; see :meth:`brainfm.masked_model.MaskedBrainModel.forward`."""
        return self._built[0](codes, hidden, **wanted)

    def training_step(self, batch: CodeBatch, batch_idx: int) -> Tensor:
        """Return the mean cross-entropy over levels."""
        model, task, usage = self._built
        scores = task.scores(model, task.hide(batch, self.masking_seed, self.global_step))
        usage.update(batch.codes, "train")
        loss = scores.loss.mean()
        self.log("train/loss", loss, prog_bar=True)
        self.log_dict(scores.named("train/"))
        return self.guard.loss(
            loss,
            broken_samples(scores.loss),
            self.parameters(),
            step=self.global_step,
            names=lambda broken: self.data.names(batch.recording[broken].tolist()),
        )

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Log the norm of the gradient; no step where it is not finite."""
        guard_step(self, self.guard, optimizer)

    def validation_step(self, batch: CodeBatch, batch_idx: int) -> None:
        """Log loss and accuracy per level beside those of guesses without a model."""
        self._evaluate(batch, "validation")

    def test_step(self, batch: CodeBatch, batch_idx: int) -> None:
        """Log the same for the test side."""
        self._evaluate(batch, "test")

    def predict_step(self, batch: CodeBatch, batch_idx: int) -> Tensor:
        """Return the features (B, N, P, D) of a batch."""
        return self._built[0].features(batch.codes)

    def _evaluate(self, batch: CodeBatch, side: str) -> None:
        model, task, usage = self._built
        usage.update(batch.codes, side)
        found = task.evaluate(model, task.hide(batch, self.validation_seed))
        # "Best" goes by the loss, so that it has to be that of all ranks.
        named = {f"{side}/{name}": value for name, value in found.items()}
        self.log_dict(named, batch_size=len(batch.codes), sync_dist=True)

    def on_validation_epoch_end(self) -> None:
        """Log how codes are used, in training since the last time."""
        fitting = self.trainer.state.fn == TrainerFn.FITTING
        sides = ("train", "validation") if fitting else ("validation",)
        self.log_dict(self._built[2].named(*sides))

    def on_test_epoch_end(self) -> None:
        """Log how codes are used."""
        self.log_dict(self._built[2].named("test"))

    def configure_optimizers(self) -> Any:
        """Return AdamW with a schedule per step."""
        total = int(self.trainer.estimated_stepping_batches)
        return build_optimizer(self.parameters(), self.optimizer, total)

    def work(self, batch: CodeBatch) -> BatchWork:
        """Return what a training step on a batch amounts to."""
        model, task, _ = self._built
        return task.work(model, batch)

    @property
    def _built(self) -> tuple[MaskedBrainModel, MaskedTask, SideStatistics]:
        assert self.model is not None
        assert self.task is not None
        assert self.usage is not None
        return self.model, self.task, self.usage

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put everything that ``brainfm export`` needs beside the weights."""
        base = self.data.tokenizer_record
        training = {
            **base.training,
            "masked_model": {**self.data.summary(), "steps": self.global_step},
            "context_frames": self.data.context_frames,
        }
        record = replace(base, masked_model=self.config, training=training)
        checkpoint["brainfm"] = {"stage": "pretrain", "record": record.to_json()}
