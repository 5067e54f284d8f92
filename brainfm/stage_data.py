"""What the data modules of all training stages share."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from lightning import LightningDataModule

from brainfm.epoch_stream import EpochStream

BatchT = TypeVar("BatchT")


class StageData(LightningDataModule, Generic[BatchT]):
    """Random windows of the training side, a fixed grid of the others; resumable in mid-epoch.

    The training loader's place travels as state of the data module: Lightning asks a loader for
    its length before it would give it a state of its own.
    """

    def __init__(self) -> None:
        super().__init__()
        self._training: EpochStream[BatchT] | None = None
        self._resume: Mapping[str, Any] | None = None

    @abstractmethod
    def loader(self, side: str, *, shuffle: bool) -> EpochStream[BatchT]:
        """Return a new loader of a side's windows for this rank."""

    @abstractmethod
    def summary(self) -> dict[str, Any]:
        """Return what a model card says of the training data."""

    def train_dataloader(self) -> EpochStream[BatchT]:
        """Return random windows of this rank; the same loader in every epoch."""
        if self._training is None:
            self._training = self.loader("train", shuffle=True)
            if self._resume is not None:
                self._training.load_state_dict(self._resume)
                self._resume = None
            assert self.trainer is not None
            if self.trainer.is_global_zero:
                print(f"training on {self._training.summary()}", flush=True)
        return self._training

    def val_dataloader(self) -> EpochStream[BatchT]:
        """Return the fixed grid of validation windows."""
        return self.loader("validation", shuffle=False)

    def test_dataloader(self) -> EpochStream[BatchT]:
        """Return the fixed grid of test windows."""
        return self.loader("test", shuffle=False)

    def predict_dataloader(self) -> EpochStream[BatchT]:
        """Return the fixed grid of test windows."""
        return self.loader("test", shuffle=False)

    def state_dict(self) -> dict[str, Any]:
        """Return the place of the training loader; empty before training."""
        return {} if self._training is None else self._training.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue training after the batch at which :meth:`state_dict` was taken."""
        if not state:
            return
        if self._training is None:
            self._resume = state
        else:
            self._training.load_state_dict(state)
