"""Training of a head, with or without its backbone, as a LightningModule (stage 3).

Shapes: B trials of this rank, P frames, N sources, D width.
"""

from typing import Any

import torch
from lightning import LightningModule
from torch import Tensor
from torch.optim import Optimizer

from brainfm.finite_guard import FiniteGuard, broken_samples, no_loss
from brainfm.gradient_norm import guard_step
from brainfm.optimisation import OptimizerConfig, build_group_optimizer

from .adaptation import AdaptationConfig, adapt, rate_groups
from .backbone import Backbone, FeatureShape
from .data import DecodingData
from .decoder_record import DecoderRecord
from .feature_store import store_of
from .gathering import share_of_trials
from .head import Head
from .running_score import RunningScore
from .subject_layers import SubjectLayerConfig, SubjectLayers
from .trial_batch import TrialBatch


class DecodingModule(LightningModule):
    """Decode trials.

    A backbone that stays as it is is no part of the module: its features are computed before, and
    its weights are not saved with every fold.

    Parameters
    ----------
    backbone
        From trials to features.
    head
        From features to predictions.
    adaptation
        How much of the backbone is trained.
    optimizer
        How weights move.
    subject_layer
        Maps of the features for each subject.
    max_skipped_steps
        Steps in a row with numbers that are not finite, all skipped, at which training stops.
    """

    def __init__(
        self,
        backbone: Backbone,
        head: Head,
        adaptation: AdaptationConfig = AdaptationConfig(),  # noqa: B008  # frozen
        optimizer: OptimizerConfig = OptimizerConfig(lr=1e-3),  # noqa: B008  # frozen
        subject_layer: SubjectLayerConfig = SubjectLayerConfig(),  # noqa: B008  # frozen
        max_skipped_steps: int = 10,
    ) -> None:
        super().__init__()
        adaptation.check(backbone)
        if adaptation.kind == "ridge" and subject_layer.enabled:
            raise ValueError("maps of subjects have no closed form; use another kind than ridge")
        self.head, self.adaptation, self.optimizer = head, adaptation, optimizer
        self.subject_config = subject_layer
        self.guard = FiniteGuard(max_skipped_steps)
        self._backbone = (backbone,)  # a tuple: not registered
        self.trained_backbone = None if adaptation.features_once else backbone
        self.subjects: SubjectLayers | None = None
        self.score: RunningScore | None = None
        self.record: DecoderRecord | None = None
        self._alone_until = 0

    @property
    def backbone(self) -> Backbone:
        """Return the backbone, trained or not."""
        return self._backbone[0]

    @property
    def data(self) -> DecodingData:
        """Return the data module."""
        return self.trainer.datamodule  # type: ignore[attr-defined]

    def configure_model(self) -> None:
        """Build everything for the data of this fold."""
        if self.record is None:
            self.prepare(self.data, self.trainer.strategy.root_device)

    def prepare(self, data: DecodingData, device: torch.device) -> None:
        """Build everything for a fold of some data; compute features that do not change."""
        if self.head.whole_passages and not data.keep_passages:
            raise ValueError(
                f"{type(self.head).__name__} looks at whole passages; set data.keep_passages to "
                "true"
            )
        self.backbone.trial_recordings = data.columns["recording"]
        if self.adaptation.features_once:
            store = store_of(self.backbone, data, device)
            data.use_features(store)
            shape = FeatureShape(*store.shape)
        else:
            shape = self.build_backbone(data.example, len(data.subjects))
        self.build_rest(DecoderRecord.of(data, shape))

    def build_backbone(self, example: TrialBatch, n_subjects: int) -> FeatureShape:
        """Build the backbone and return the shape of its features."""
        self._seed()
        self.backbone.build(example, n_subjects)
        adapt(self.backbone, self.adaptation)
        with torch.no_grad():
            shape = self.backbone.eval()(example).shape[1:]
        self.backbone.train()
        return FeatureShape(*shape)

    def build_rest(self, record: DecoderRecord) -> None:
        """Build head and subject layers."""
        self._seed()
        self.record = record
        settings: dict[str, Any] = {"linear": self.adaptation.linear, "training": record.training}
        self.head.build(record.shape, record.targets, **settings)
        if self.subject_config.enabled:
            sizes = len(record.subjects), record.shape.width
            self.subjects = SubjectLayers(self.subject_config, *sizes)
        self.score = RunningScore(self.head)

    def _seed(self) -> None:
        # Weights follow from the seed of the run alone, not from what was computed before.
        torch.manual_seed(torch.initial_seed())

    def forward(self, batch: TrialBatch) -> Tensor:
        """Return the head's outputs."""
        return self.head(self.features(batch), batch)

    def features(self, batch: TrialBatch) -> Tensor:
        """Return features (B, P, N, D), through the subjects' maps."""
        found = self.backbone(batch) if batch.features is None else batch.features
        return found if self.subjects is None else self.subjects(found, batch.subject)

    def on_train_batch_start(self, batch: TrialBatch, batch_idx: int) -> None:
        """Keep the backbone as it is while the head is trained alone."""
        if self.trained_backbone is not None:
            self.trained_backbone.train(not self._alone)

    @property
    def _alone(self) -> bool:
        return self.global_step < self._alone_until

    def training_step(self, batch: TrialBatch, batch_idx: int) -> Tensor:
        """Return the loss, such that its mean over ranks is that of all their trials."""
        if self._alone:
            with torch.no_grad():
                batch = batch._replace(features=self.backbone(batch))
        output = self(batch)
        loss = self.head.loss(output, batch)
        self.log("train/loss", loss, prog_bar=True, batch_size=len(batch.trial))
        total = loss if self.head.global_loss else loss * share_of_trials(len(batch.trial), loss)
        if self._alone:
            total = total + no_loss(self.backbone.parameters())
        return self.guard.loss(
            total,
            broken_samples(output),
            self.parameters(),
            step=self.global_step,
            names=lambda broken: self.data.names(batch.trial[broken].tolist()),
        )

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Log the norm of the gradient; no step where it is not finite."""
        guard_step(self, self.guard, optimizer)

    def validation_step(self, batch: TrialBatch, batch_idx: int) -> None:
        """Log loss and score of the validation side; "best" goes by the loss of all ranks."""
        output = self(batch)
        named: dict[str, Any] = {"batch_size": len(batch.trial), "on_epoch": True}
        self.log("validation/loss", self.head.loss(output, batch), sync_dist=True, **named)
        score = self.score
        assert score is not None
        if score.metric is not None:
            score.update(self.head, self.head.predict(output, batch), batch)
            self.log(f"validation/{score.name}", score.metric, **named)

    def configure_optimizers(self) -> Any:
        """Return AdamW with a schedule per step and a rate for every depth of the backbone."""
        total = int(self.trainer.estimated_stepping_batches)
        self._alone_until = self.adaptation.stage_one_steps(total)
        own = {id(p) for p in self.backbone.parameters()}
        others = [p for p in self.parameters() if id(p) not in own]
        groups = rate_groups(self.backbone, others, self.adaptation, total)
        return build_group_optimizer(groups, self.optimizer, total)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put beside the weights what makes the decoder again without its data."""
        assert self.record is not None
        checkpoint["brainfm"] = {"stage": "finetune", "decoder": self.record.to_plain()}
