"""One model of several modalities: an encoder for each, a projection for each, one head for all.

Whether training together helps is an open question: a run says the score of every modality, and
runs of one modality say what it is worth alone.

Shapes: B trials, P frames, N sources, D width, W width of the projections.
"""

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor, nn

from brainfm.batches import Batch
from brainfm.finite_guard import no_loss
from brainfm.processing_config import ProcessingConfig
from brainfm.splits import Split

from .backbone import Backbone, FeatureShape
from .modalities import SeveralProcessing, check_modalities, modalities_of, real_channels
from .pooling import Pooling, PoolingConfig
from .trial_batch import TrialBatch


class Several(Backbone):
    """Encoders by modality, each followed by pooling, a norm and a linear map; (B, 1, 1, W).

    Use it with :class:`~.several_sources.Modalities` and ``adaptation.kind: full``.

    Parameters
    ----------
    backbones
        By modality: eeg, meg, ieeg, fmri.
    width
        W.
    pooling
        Of the features of a modality; those not named are flat.
    frozen
        Modalities whose encoder stays as it is; its projection is trained.
    dropout
        Share of the pooled features that are left out in training, in [0, 1).
    """

    def __init__(
        self,
        backbones: dict[str, Backbone],
        width: int = 256,
        pooling: dict[str, PoolingConfig] | None = None,
        frozen: list[str] | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_modalities(backbones, "model.backbone backbones")
        for name, given in (("pooling", pooling or {}), ("frozen", frozen or ())):
            unknown = sorted(set(given) - set(backbones))
            if unknown:
                raise ValueError(f"{name} names {unknown[0]}, which has no backbone")
        if width < 1 or not 0 <= dropout < 1:
            raise ValueError(f"width ({width}) must be positive and dropout ({dropout}) in [0, 1)")
        self.encoders = nn.ModuleDict({name: backbones[name] for name in sorted(backbones)})
        self.width, self.dropout = width, dropout
        self.pooling, self.frozen = dict(pooling or {}), tuple(frozen or ())
        self.pools, self.projections = nn.ModuleDict(), nn.ModuleDict()

    @property
    def processing(self) -> ProcessingConfig:
        """Return how recordings of each modality must be prepared."""
        return SeveralProcessing(each={name: one.processing for name, one in self._each.items()})

    @property
    def _each(self) -> Mapping[str, Backbone]:
        return dict(self.encoders.items())  # type: ignore[arg-type]

    def pretraining(self) -> tuple[Mapping[str, Any], list[Split]] | None:
        """Return what the encoders were pretrained on; None if none was."""
        known = [found for one in self._each.values() if (found := one.pretraining()) is not None]
        if len(known) > 1:
            # Stages of two checkpoints have one name: what of each is not known any more.
            return {}, [split for _, splits in known for split in splits]
        return known[0] if known else None

    def build(self, example: TrialBatch, n_subjects: int) -> None:
        """Build every encoder, and the projections for what they give."""
        there = modalities_of(example.signal)
        for name, encoder in self._each.items():
            if name not in there:
                raise ValueError(f"the data have no trial of {name}, which model.backbone encodes")
            part = part_of(example, [k for k, each in enumerate(there) if each == name])
            encoder.build(part, n_subjects)
            with torch.no_grad():
                shape = FeatureShape(*encoder.eval()(part).shape[1:])
            if name in self.frozen:
                encoder.requires_grad_(False)
            pool = Pooling(self.pooling.get(name, PoolingConfig(kind="flat")), shape)
            self.pools[name] = pool
            self.projections[name] = nn.Sequential(
                nn.LayerNorm(pool.n_features),
                nn.Dropout(self.dropout),
                nn.Linear(pool.n_features, self.width),
            )

    def train(self, mode: bool = True) -> "Several":
        """Choose between training and use; frozen encoders are always used."""
        super().train(mode)
        for name in self.frozen:
            self.encoders[name].eval()
        return self

    def forward(self, batch: TrialBatch) -> Tensor:
        """Return features (B, 1, 1, W); trials of several modalities may be in one batch."""
        there = modalities_of(batch.signal)
        names = sorted(set(there))
        unknown = sorted(set(names) - set(self.encoders))
        if unknown:
            raise ValueError(f"a trial is of {unknown[0]}, which model.backbone does not encode")
        found = batch.onset.new_zeros(len(there), self.width)
        for name in names:
            rows = [k for k, each in enumerate(there) if each == name]
            part = batch if len(names) == 1 else part_of(batch, rows)
            features = self.projections[name](self.pools[name](self.encoders[name](part).float()))
            index = torch.tensor(rows, device=features.device)
            found = found.index_copy(0, index, features.to(found.dtype))
        if self.training and torch.is_grad_enabled() and torch.distributed.is_initialized():
            # Every rank expects a gradient of every weight, whatever its batch holds.
            found = found + no_loss(self.parameters())
        return found[:, None, None]

    def layers(self) -> Sequence[Sequence[nn.Parameter]]:
        """Return the parameters by depth: encoders side by side, then the projections."""
        trained = [one for name, one in self._each.items() if name not in self.frozen]
        # Their last layers are equally far from the head, however deep they are.
        depths = zip_longest(*(reversed(one.layers()) for one in trained), fillvalue=())
        merged = [[p for layer in depth for p in layer if p.requires_grad] for depth in depths]
        last = [*self.pools.parameters(), *self.projections.parameters()]
        return [*(layer for layer in reversed(merged) if layer), last]


def part_of(batch: TrialBatch, rows: Sequence[int]) -> TrialBatch:
    """Return trials of one modality, without the padding that trials of others asked for.

    Samples after the end of a shorter trial are NaN (:meth:`~.trial_reader.TrialReader.example`).
    """
    index = torch.tensor(list(rows), device=batch.trial.device)
    signal = Batch(*(value[index] for value in batch.signal))
    n_channels = int(real_channels(signal).any(0).nonzero().max()) + 1
    x = signal.x[:, :n_channels]
    n_times = int((~x.isnan().any(1)).any(0).nonzero().max()) + 1
    per_channel = {
        name: getattr(signal, name)[:, :n_channels]
        for name in ("positions", "orientations", "types", "mask", "scale")
    }
    others: dict[str, Any] = {
        name: None if value is None else value[index]
        for name, value in batch._asdict().items()
        if name != "signal"
    }
    return TrialBatch(signal=signal._replace(x=x[:, :, :n_times], **per_channel), **others)
