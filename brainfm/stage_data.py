"""What the data modules of all training stages share."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from lightning import LightningDataModule

from brainfm.audit import audit
from brainfm.recording_info import RecordingInfo
from brainfm.splits import Split

BatchT = TypeVar("BatchT")
BatchOut = TypeVar("BatchOut", covariant=True)


class ResumableLoader(Protocol[BatchOut]):
    """Batches of this rank, epoch after epoch (:class:`~brainfm.epoch_stream.EpochStream`)."""

    def __iter__(self) -> Iterator[BatchOut]:
        """Yield the batches of an epoch."""

    def __len__(self) -> int:
        """Return their number."""

    def summary(self) -> object:
        """Return what an epoch uses; to be printed."""

    def state_dict(self) -> dict[str, Any]:
        """Return how many batches have been handed out."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue after the batch at which :meth:`state_dict` was taken."""


def audited_split(path: str | Path, *, shared: Mapping[str, str] | None = None) -> Split:
    """Read a manifest to train by.

    Parameters
    ----------
    path
        What ``brainfm corpus split`` wrote.
    shared
        Recordings that hold stretches of others (:attr:`Corpus.shared`).

    Raises
    ------
    ValueError
        Its sides share something: what was learned could be what is measured.
    """
    split = Split.load(path)
    findings = audit(split, shared=shared)
    if findings:
        more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
        raise ValueError(
            f"the sides of {path} leak: {findings[0]}{more}; divide with 'brainfm corpus split', "
            "which keeps such recordings together"
        )
    return split


def filled(indices: list[int], side: str) -> list[int]:
    """Return the recordings of a side; ValueError if there are none."""
    if not indices:
        raise ValueError(
            f"side {side} of the split holds no recording; delete the manifest and divide "
            "otherwise: 'brainfm corpus split' --by recording where there are few people"
        )
    return indices


def training_summary(
    recordings: Sequence[RecordingInfo], corpus_digest: str, split: Split
) -> dict[str, Any]:
    """Return what a model card says of training data.

    Parameters
    ----------
    recordings
        Those of the training side.
    corpus_digest
        Of the corpus they are from.
    split
        What chose them.
    """
    return {
        "corpus_digest": corpus_digest,
        "split_digest": split.digest,
        "recordings": len(recordings),
        "subjects": len({(info.dataset, info.subject or info.id) for info in recordings}),
        "hours": round(sum(info.duration for info in recordings) / 3600, 4),
        "datasets": _dataset_rows(recordings),
    }


def _dataset_rows(recordings: Sequence[RecordingInfo]) -> list[dict[str, Any]]:
    """Return a row for each data set, by name; its fields are those of a model card's table."""
    members: dict[tuple[str, str], list[RecordingInfo]] = {}
    for info in recordings:
        members.setdefault((info.dataset, info.licence), []).append(info)
    return [
        {
            "name": name,
            "licence": licence or "unknown",
            "devices": sorted({info.device for info in infos if info.device}),
            "recordings": len(infos),
            "subjects": len({info.subject or info.id for info in infos}),
            "hours": round(sum(info.duration for info in infos) / 3600, 4),
        }
        for (name, licence), infos in sorted(members.items())
    ]


class StageData(LightningDataModule, Generic[BatchT]):
    """Random windows of the training side, a fixed grid of the others; resumable in mid-epoch.

    The training loader's place travels as state of the data module: Lightning asks a loader for
    its length before it would give it a state of its own.
    """

    def __init__(self) -> None:
        super().__init__()
        self._training: ResumableLoader[BatchT] | None = None
        self._resume: Mapping[str, Any] | None = None

    @abstractmethod
    def loader(self, side: str, *, shuffle: bool) -> ResumableLoader[BatchT]:
        """Return a new loader of a side's windows for this rank."""

    @abstractmethod
    def summary(self) -> dict[str, Any]:
        """Return what a model card says of the training data."""

    def train_dataloader(self) -> ResumableLoader[BatchT]:
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

    def val_dataloader(self) -> ResumableLoader[BatchT]:
        """Return the fixed grid of validation windows."""
        return self.loader("validation", shuffle=False)

    def test_dataloader(self) -> ResumableLoader[BatchT]:
        """Return the fixed grid of test windows."""
        return self.loader("test", shuffle=False)

    def predict_dataloader(self) -> ResumableLoader[BatchT]:
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
