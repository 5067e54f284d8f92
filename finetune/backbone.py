"""What turns trials into features; heads know nothing of it.

Shapes: B trials, P frames, N sources, D width.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn

from brainfm.processing_config import ProcessingConfig
from brainfm.splits import Split

from .trial_batch import TrialBatch


class FeatureShape(NamedTuple):
    """Sizes of the features of one trial: frames, sources, width."""

    frames: int
    sources: int
    width: int


class Backbone(nn.Module, ABC):
    """From trials to features (B, P, N, D). Named by ``model.backbone.class_path``."""

    trial_recordings: Sequence[str] = ()
    """Recording of every trial, by place in the table, for messages; empty where not known."""

    def named(self, trial: int) -> str:
        """Return what a message calls a trial."""
        if not self.trial_recordings:
            return f"trial {trial}"
        return f"trial {trial} (recording {self.trial_recordings[trial]})"

    @property
    def weightless(self) -> bool:
        """Return whether it is a fixed function of the signal, with nothing to learn."""
        return False

    @property
    @abstractmethod
    def processing(self) -> ProcessingConfig:
        """Return how recordings must be prepared for it."""

    @abstractmethod
    def build(self, example: TrialBatch, n_subjects: int) -> None:
        """Make what depends on the data: number of channels, length of a trial, slots of subjects.

        Parameters
        ----------
        example
            Any batch of the data.
        n_subjects
            Subjects in training; their slots are 1 to ``n_subjects``, 0 is for all others.
        """

    @abstractmethod
    def forward(self, batch: TrialBatch) -> Tensor:
        """Return features (B, P, N, D)."""

    @abstractmethod
    def layers(self) -> Sequence[Sequence[nn.Parameter]]:
        """Return the parameters from input to output, for rates that decay with depth."""

    @property
    def digest(self) -> str:
        """Return a hash of all that makes its features; empty where it is not pretrained.

        Features of a frozen backbone are kept on disk under this name.
        """
        return ""

    def pretraining(self) -> tuple[Mapping[str, Any], list[Split]] | None:
        """Return what it was pretrained on, and the manifests of that at hand.

        As ``ModelRecord.training`` says it; None where it was not pretrained.
        """
        return None
