"""A fine-tuned decoder as one function of prepared trials and their sensors, to be traced.

Shapes: B trials, C sensors, T samples, O outputs.
"""

import torch
from torch import Tensor, nn

from brainfm.batches import Batch
from brainfm.checkpoints import codes_digest
from brainfm.code_times import context_frames
from brainfm.exported_graph import check_graph, example_inputs
from brainfm.exported_record import ExportedRecord

from .decoder import Decoder
from .lora import merge_low_rank
from .pretrained import Pretrained
from .trial_batch import TrialBatch

AS_IT_IS = ("classes", "text")
"""Kinds of heads whose outputs are written; of all others, what they predict."""


class DecoderGraph(nn.Module):
    """Encoder and head of a fold, for an unseen subject.

    Parameters
    ----------
    decoder
        Of a run with a pretrained backbone; matrices of LoRA become part of its weights.

    Raises
    ------
    ValueError
        The backbone is no pretrained model, the model has no graph, the run scales its windows by
        those of training, or the head looks at more than one trial.
    """

    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        module = decoder.module
        if not isinstance(module.backbone, Pretrained):
            raise ValueError(
                f"backbone {type(module.backbone).__name__} has fixed channels and no graph; only "
                "Pretrained has one"
            )
        if module.head.whole_passages:
            raise ValueError(
                f"{type(module.head).__name__} looks at all trials of a passage, which a graph of "
                "single trials cannot"
            )
        decoder.check_unscaled()
        check_graph(module.backbone.record)
        merge_low_rank(module.backbone)
        self.backbone, self.head, self.subjects = module.backbone, module.head, module.subjects
        self.n_times = int(decoder.record.example.signal.x.shape[-1])
        self.record = _record(decoder, self.n_times)
        self.eval().requires_grad_(False)

    def example(self) -> tuple[Tensor, ...]:
        """Return inputs of a graph: two trials."""
        return example_inputs(self.n_times)

    def forward(
        self, signal: Tensor, positions: Tensor, orientations: Tensor, types: Tensor
    ) -> Tensor:
        """Return the head's output (B, O): of a classifier logits, else what it predicts.

        Parameters
        ----------
        signal
            (B, C, T) windows of trials, baseline taken away.
        positions, orientations, types
            Of the C sensors, (C, 3), (C, 3) and (C,).
        """
        n = signal.shape[0]
        none = torch.zeros_like(signal[:, 0, 0])
        place = none.long()
        types = types.expand(n, -1)
        batch = TrialBatch(
            signal=Batch(
                x=signal,
                positions=positions.expand(n, -1, -1),
                orientations=orientations.expand(n, -1, -1),
                types=types,
                mask=torch.ones_like(types, dtype=torch.bool),
                scale=torch.ones_like(types, dtype=torch.float32),
                lowpass=none,
                recording=place,
                start=place,
            ),
            features=None,
            subject=place,
            target=place,
            rivals=place[:, None][:, :0],
            passage=place,
            onset=none,
            trial=place,
        )
        features = self.backbone(batch)
        if self.subjects is not None:
            features = self.subjects(features, batch.subject)
        output: Tensor = self.head(features, batch)
        return output if self.head.kind in AS_IT_IS else self.head.predict(output, batch)


def _record(decoder: Decoder, n_times: int) -> ExportedRecord:
    backbone = decoder.module.backbone
    assert isinstance(backbone, Pretrained)
    assert backbone.model is not None
    model, cfg = backbone.record, backbone.record.tokenizer
    return ExportedRecord(
        kind="decoder",
        outputs=("output",),
        tokenizer=cfg,
        processing=backbone.processing,
        context=context_frames(model.training, cfg.frames_per_window),
        trials=decoder.trials,
        n_times=n_times,
        predicts=decoder.module.head.kind,
        ids=decoder.ids,
        codes_digest=codes_digest(backbone.model.tokenizer),
        training=dict(model.training),
    )
