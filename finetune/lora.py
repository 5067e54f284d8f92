"""Low-rank adaptation: large weights stay, small ones are added (Hu et al. 2021, arXiv:2106.09685).

Shapes: O outputs, I inputs, R rank.
"""

from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn.utils import parametrize


class LowRank(nn.Module):
    """Add ``(alpha / R) B A`` to a weight (O, I); B starts at zero, so nothing changes at first.

    Parameters
    ----------
    weight
        The one that is added to.
    rank
        R.
    alpha
        Size of what is added.
    """

    def __init__(self, weight: Tensor, rank: int, alpha: float) -> None:
        super().__init__()
        n_out, n_in = weight.shape
        self.scale = alpha / rank
        self.down = nn.Parameter(weight.new_empty(rank, n_in).normal_(std=n_in**-0.5))
        self.up = nn.Parameter(weight.new_zeros(n_out, rank))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the adapted weight (O, I)."""
        return weight + self.scale * (self.up @ self.down)


def add_low_rank(module: nn.Module, *, rank: int, alpha: float) -> list[nn.Parameter]:
    """Adapt every linear layer that was to be trained; the module's own weights are frozen.

    Returns
    -------
    list of Parameter
        Those that are trained now.

    Raises
    ------
    ValueError
        No linear layer of the module was to be trained.
    """
    chosen = [layer for layer in linear_layers(module) if layer.weight.requires_grad]
    if not chosen:
        raise ValueError(f"{type(module).__name__} has no linear layer that LoRA could adapt")
    module.requires_grad_(False)
    added: list[nn.Parameter] = []
    for layer in chosen:
        extra = LowRank(layer.weight, rank, alpha)
        parametrize.register_parametrization(layer, "weight", extra)
        added += extra.parameters()
    return added


def merge_low_rank(module: nn.Module) -> None:
    """Turn adapted weights into plain ones with the same function; they are frozen."""
    for layer in list(linear_layers(module)):
        if parametrize.is_parametrized(layer, "weight"):
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
            layer.weight.requires_grad_(False)


def linear_layers(module: nn.Module) -> Iterator[nn.Linear]:
    """Yield the linear layers of a module; projections of attention are among them."""
    return (layer for layer in module.modules() if isinstance(layer, nn.Linear))
