"""How much of a backbone moves when a head is trained on it, and at which rates.

One setting for every head: ``frozen``, ``linear`` and ``ridge`` leave the backbone as it is, so
that its features are computed once; ``lora``, ``full`` and ``two_stage`` train it, slower than the
head and slower towards the input (Howard & Ruder 2018, arXiv:1801.06146).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from torch import nn

from brainfm.optimisation import RateGroup

from .backbone import Backbone
from .lora import add_low_rank

Adaptation = Literal["frozen", "linear", "ridge", "lora", "full", "two_stage"]
FEATURES_ONCE = ("frozen", "linear", "ridge")
"""Kinds whose features never change."""
LINEAR = ("linear", "ridge")


@dataclass(frozen=True, kw_only=True)
class AdaptationConfig:
    """What is trained.

    Parameters
    ----------
    kind
        ``frozen``: the head alone. ``linear``: likewise, and the head is one linear map. ``ridge``:
        that map in closed form. ``lora``: the head and small matrices added to the backbone's
        linear layers. ``full``: everything. ``two_stage``: the head alone, then everything.
    backbone_rate
        Learning rate of the backbone relative to the head's; None: 0.1, but 1 for what starts from
        nothing: matrices of LoRA, a backbone that is not pretrained.
    layer_decay
        Factor from one layer of the backbone to the one before it, in (0, 1]; None: 0.8, but 1 as
        above.
    lora_rank, lora_alpha
        Rank and size of the matrices of LoRA.
    stage_one_share
        Of ``two_stage``: share of the steps in which the head is trained alone, in (0, 1).
    penalties
        Of ``ridge``: penalties to choose from on the validation side, relative to the mean power of
        a standardised feature times the number of trials.
    inputs
        Of ``ridge``: numbers of features to choose from likewise, the readout using those that
        explain most by themselves in training; 0 is all of them.
    """

    kind: Adaptation = "full"
    backbone_rate: float | None = None
    layer_decay: float | None = None
    lora_rank: int = 8
    lora_alpha: float = 16.0
    stage_one_share: float = 0.3
    penalties: tuple[float, ...] = (1e-2, 1e-1, 1.0, 1e1, 1e2, 1e3, 1e4)
    inputs: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        for name in ("backbone_rate", "layer_decay"):
            value = getattr(self, name)
            if value is not None and not 0 < value <= 1:
                raise ValueError(f"adaptation.{name} must lie in (0, 1] or be null, got {value}")
        if self.lora_rank < 1:
            raise ValueError(f"adaptation.lora_rank must be at least 1, got {self.lora_rank}")
        if self.lora_alpha <= 0:
            raise ValueError(f"adaptation.lora_alpha must be positive, got {self.lora_alpha}")
        if not 0 < self.stage_one_share < 1:
            raise ValueError(
                f"adaptation.stage_one_share must lie in (0, 1), got {self.stage_one_share}"
            )
        if not self.penalties or min(self.penalties) <= 0:
            raise ValueError(f"adaptation.penalties must all be positive, got {self.penalties}")
        if not self.inputs or min(self.inputs) < 0:
            raise ValueError(f"adaptation.inputs must not be negative, got {self.inputs}")

    @property
    def features_once(self) -> bool:
        """Tell whether the backbone's features never change."""
        return self.kind in FEATURES_ONCE

    @property
    def linear(self) -> bool:
        """Tell whether the head is one linear map."""
        return self.kind in LINEAR

    def check(self, backbone: Backbone) -> None:
        """Raise ValueError if a backbone that has learned nothing would stay as it is."""
        if (self.features_once or self.kind == "lora") and not backbone.digest:
            raise ValueError(
                f"adaptation.kind {self.kind} needs a pretrained backbone, which "
                f"{type(backbone).__name__} is not; use full"
            )

    def stage_one_steps(self, total_steps: int) -> int:
        """Return how many of the steps train the head alone."""
        return round(self.stage_one_share * total_steps) if self.kind == "two_stage" else 0


def adapt(backbone: Backbone, cfg: AdaptationConfig) -> None:
    """Choose which weights of a built backbone are trained, adding those of LoRA."""
    if cfg.features_once:
        backbone.requires_grad_(False)
    elif cfg.kind == "lora":
        add_low_rank(backbone, rank=cfg.lora_rank, alpha=cfg.lora_alpha)


def rate_groups(
    backbone: Backbone, others: Iterable[nn.Parameter], cfg: AdaptationConfig, total_steps: int
) -> list[RateGroup]:
    """Return the weights with their rates: the head and all else at 1, the backbone below.

    Parameters
    ----------
    backbone
        After :func:`adapt`.
    others
        Weights that are not the backbone's.
    cfg
        The rates.
    total_steps
        Optimizer steps of the training.
    """
    groups = [RateGroup(parameters=list(others))]
    if cfg.features_once:
        return groups
    fresh = cfg.kind == "lora" or not backbone.digest
    rate = cfg.backbone_rate if cfg.backbone_rate is not None else 1.0 if fresh else 0.1
    decay = cfg.layer_decay if cfg.layer_decay is not None else 1.0 if fresh else 0.8
    start = cfg.stage_one_steps(total_steps)
    if cfg.kind == "lora":
        added = [p for p in backbone.parameters() if p.requires_grad]
        return [*groups, RateGroup(parameters=added, rate=rate)]
    layers = backbone.layers()
    listed = {id(p) for layer in layers for p in layer}
    rest = [p for p in backbone.parameters() if p.requires_grad and id(p) not in listed]
    if rest:
        raise ValueError(
            f"{type(backbone).__name__}.layers() leaves out {len(rest)} weights that are trained"
        )
    depth = len(layers)
    groups += [
        RateGroup(parameters=list(layer), rate=rate * decay ** (depth - 1 - k), start=start)
        for k, layer in enumerate(layers)
    ]
    return groups
