"""What is needed besides weights and settings to make a trained decoder again, without its data.

Shapes: B trials, M things to decode, K training trials.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brainfm.batches import Batch

from .backbone import FeatureShape
from .data import DecodingData
from .targets import Targets
from .trial_batch import TrialBatch

MAX_VALUES_BYTES = 1 << 24
"""Features of stimuli that are larger stay with the data; a decoder made again has zeros there."""
PER_TRIAL = tuple(name for name in TrialBatch._fields if name not in ("signal", "features"))


@dataclass(frozen=True, kw_only=True, eq=False)
class DecoderRecord:
    """Sizes and names that a decoder was built with.

    Parameters
    ----------
    example
        A batch of the data, one trial of each of some recordings.
    subjects
        Those of training; slot k + 1 is that of the k-th.
    targets
        What is decoded; made again, without the rows of any trial.
    training
        (K,) rows that are right for training trials.
    shape
        Of the features.
    """

    example: TrialBatch
    subjects: tuple[str, ...]
    targets: Targets
    training: np.ndarray
    shape: FeatureShape

    @classmethod
    def of(cls, data: DecodingData, shape: FeatureShape) -> "DecoderRecord":
        """Return that of a fold of some data."""
        return cls(
            example=data.example,
            subjects=data.subjects,
            targets=data.targets,
            training=data.targets.rows[data.indices("train")],
            shape=shape,
        )

    def to_plain(self) -> dict[str, Any]:
        """Return tensors and plain values, for a checkpoint."""
        # The tensors of a batch lie in one piece of memory, which files do not take.
        example = {k: v.clone() for k, v in self.example._asdict().items() if k in PER_TRIAL}
        signal = {k: v.clone() for k, v in self.example.signal._asdict().items()}
        targets = self.targets
        values = targets.values
        large = values is not None and values.nbytes > MAX_VALUES_BYTES
        return {
            "signal": signal | {"x": torch.zeros(*signal["x"].shape[:2], 1)},
            "n_times": signal["x"].shape[-1],
            "example": example,
            "subjects": list(self.subjects),
            "ids": targets.ids.tolist(),
            "values": None if values is None or large else torch.as_tensor(values),
            "values_shape": list(values.shape) if values is not None and large else None,
            "lengths": None if targets.lengths is None else torch.as_tensor(targets.lengths),
            "n_rivals": None if targets.rivals is None else targets.rivals.shape[1],
            "alphabet": list(targets.alphabet),
            "units": list(targets.units),
            "window": None if targets.window is None else list(targets.window),
            "training": torch.as_tensor(self.training),
            "shape": list(self.shape),
        }

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> "DecoderRecord":
        """Read what :meth:`to_plain` returned."""
        signal = dict(plain["signal"])
        signal["x"] = torch.zeros(*signal["x"].shape[:2], plain["n_times"])
        values: Any = None
        if plain["values"] is not None:
            values = plain["values"].numpy()
        elif plain["values_shape"] is not None:
            # Takes no memory; heads only look at the shape.
            values = np.broadcast_to(np.zeros((), dtype=np.float32), plain["values_shape"])
        lengths: Tensor | None = plain["lengths"]
        n_rivals: int | None = plain["n_rivals"]
        return cls(
            example=TrialBatch(signal=Batch(**signal), features=None, **plain["example"]),
            subjects=tuple(plain["subjects"]),
            targets=Targets(
                ids=np.array(plain["ids"], dtype=np.str_),
                rows=np.zeros(0, dtype=np.int64),
                values=values,
                lengths=None if lengths is None else lengths.numpy(),
                rivals=None if n_rivals is None else np.zeros((0, n_rivals), dtype=np.int64),
                alphabet=tuple(plain["alphabet"]),
                units=tuple(plain["units"]),
                window=None if plain.get("window") is None else tuple(plain["window"]),
            ),
            training=plain["training"].numpy(),
            shape=FeatureShape(*plain["shape"]),
        )
