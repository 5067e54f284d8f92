"""What stands inside an exported file beside its graph: all that is needed to feed it."""

import json
from dataclasses import dataclass, field
from typing import Any, Literal

from brainfm.brain_tokenizer import TokenizerConfig
from brainfm.config_json import from_json, to_json
from brainfm.processing_config import ProcessingConfig
from brainfm.trials import TrialConfig

INPUTS = ("signal", "positions", "orientations", "types")
"""Of every graph: signal (B, C, T) float32, prepared as ``processing`` says, at its rate; positions
(C, 3) float32 in metres, head coordinates; orientations (C, 3) float32, unit vectors or zero; types
(C,) int64, codes of :data:`brainfm.sensors.SENSOR_TYPES`. Channels that are bad are left out."""
METADATA = "brainfm"
"""Key of the record in an ONNX file; in a ``.pt2`` file it is the extra file ``brainfm.json``."""
FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class ExportedRecord:
    """Everything about an exported graph but the graph.

    Parameters
    ----------
    kind
        "encoder": codes and features of any stretch of signal. "decoder": what a fine-tuned head
        says of trials.
    outputs
        Names of the outputs: ``codes`` (B, P, N, Q) int64 and ``features`` (B, P, N, D) float32 of
        unit length, or ``output`` of the head.
    tokenizer
        Sizes of the tokenizer: window and frame in samples, sensor types.
    processing
        What becomes of a recording before the graph sees it.
    context
        Frames that are encoded together; longer recordings go through stretch by stretch.
    layer
        Of the masked model, that features are from; empty without features.
    trials
        Of a decoder: window and baseline of a trial.
    n_times
        Of a decoder: samples of a trial, T; 0 where T is free.
    predicts
        Of a decoder: "classes" (``output`` are logits), "retrieval", "values" or "text".
    ids
        Of a decoder: what it decodes.
    codes_digest
        As in the configuration of a checkpoint; equal for models with the same codes.
    training
        What the model was trained on, as in its checkpoint.
    int8
        Whether large weights are stored in 8 bits.
    opset
        Version of the operators of an ONNX file; 0 in a ``.pt2`` file.
    software
        Versions that wrote it.
    """

    kind: Literal["encoder", "decoder"]
    outputs: tuple[str, ...]
    tokenizer: TokenizerConfig
    processing: ProcessingConfig
    context: int
    layer: str = ""
    trials: TrialConfig | None = None
    n_times: int = 0
    predicts: str = ""
    ids: tuple[str, ...] = ()
    codes_digest: str = ""
    training: dict[str, Any] = field(default_factory=dict)
    int8: bool = False
    opset: int = 0
    software: dict[str, str] = field(default_factory=dict)

    def dumps(self) -> str:
        """Return the record as text (JSON)."""
        return json.dumps({"format": FORMAT, **to_json(self)})

    @classmethod
    def loads(cls, text: str, where: str) -> "ExportedRecord":
        """Read what :meth:`dumps` returned.

        Raises
        ------
        ValueError
            Not a record, or one that a newer version wrote.
        """
        try:
            values = json.loads(text)
        except ValueError as error:
            raise ValueError(f"{where} is damaged ({error}); export it again") from error
        if not isinstance(values, dict) or values.pop("format", None) != FORMAT:
            raise ValueError(f"{where} is of another format; export it again with this brainfm")
        return from_json(cls, values, where)
