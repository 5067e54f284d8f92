"""A small generator and a small feature network that come with the package and need no download.

They let deep image reconstruction run, be tested and be looked at anywhere; they are no match for
networks trained on millions of photographs, which load from a folder (:mod:`.network_features`).
Trained by ``benchmarks/small_image_networks.py`` on drawn pictures (:mod:`.drawn_pictures`) and
crops of photographs that are CC0 or in the public domain and come with scikit-image (astronaut,
coffee, chelsea, rocket, brick, grass, gravel); the weights have the licence of the package.

Shapes: N images, H = W = 64 pixels, Z latent.
"""

from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from brainfm.network_features import ImageInput
from brainfm.strict_loading import load_strictly

PIXELS = 64
SMALL_INPUT = ImageInput(pixels=PIXELS, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
"""How :class:`SmallVisionNet` wants images."""
SMALL_LAYERS = ("conv1", "conv2", "conv3", "conv4", "fc5")
"""Its layers, from fine to coarse; each is taken before its rectifier."""
N_KINDS = 14
"""What it was trained to tell apart: 7 kinds of drawings and 7 photographs."""
WEIGHTS = Path(__file__).resolve().with_suffix(".safetensors")


class SmallVisionNet(nn.Module):
    """Four convolutions and two linear layers, from (N, 3, 64, 64) to (N, kinds)."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 24, 48, 64, 96)
        for number, (before, after) in enumerate(pairwise(widths), start=1):
            self.add_module(f"conv{number}", nn.Conv2d(before, after, 3, padding=1))
        self.fc5 = nn.Linear(widths[-1] * 16, 64)
        self.kinds = nn.Linear(64, N_KINDS)

    def forward(self, x: Tensor) -> Tensor:
        """Return the score of every kind for images prepared by :data:`SMALL_INPUT`."""
        for number in range(1, 5):
            # Means keep a gradient for every pixel where maxima would keep a quarter.
            x = F.avg_pool2d(F.relu(self.get_submodule(f"conv{number}")(x)), 2)
        scores: Tensor = self.kinds(F.relu(self.fc5(x.flatten(1))))
        return scores


class SmallGenerator(nn.Module):
    """From a latent (N, 96), standard normal, to images (N, 3, 64, 64) in [0, 1].

    Attributes
    ----------
    latent_shape
        Shape of one latent.
    """

    latent_shape = (96,)

    def __init__(self) -> None:
        super().__init__()
        widths = (96, 64, 48, 32, 16)
        self.start = nn.Linear(self.latent_shape[0], widths[0] * 16)
        self.convs = nn.ModuleList(
            nn.Conv2d(before, after, 3, padding=1) for before, after in pairwise(widths)
        )
        self.end = nn.Conv2d(widths[-1], 3, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        """Return images."""
        x = F.leaky_relu(self.start(z), 0.2).unflatten(1, (-1, 4, 4))
        for conv in self.convs:
            x = F.leaky_relu(conv(F.interpolate(x, scale_factor=2.0, mode="nearest")), 0.2)
        return torch.sigmoid(self.end(x))


def save_small_networks(
    path: str | Path, generator: SmallGenerator, network: SmallVisionNet
) -> None:
    """Write the weights of both in half precision."""
    from safetensors.torch import save_file

    both = {"generator": generator, "network": network}
    tensors = {
        f"{name}.{key}": value.detach().half().contiguous()
        for name, module in both.items()
        for key, value in module.state_dict().items()
    }
    save_file(tensors, str(path))


def load_small_networks(path: str | Path = WEIGHTS) -> tuple[SmallGenerator, SmallVisionNet]:
    """Return both networks with the bundled weights, in evaluation mode, without gradients.

    Raises
    ------
    FileNotFoundError, ValueError
        The weights are missing or of other networks.
    """
    from safetensors.torch import load_file

    if not Path(path).is_file():
        raise FileNotFoundError(
            f"{path}: the weights of the small image networks are not there; install the package "
            "again or train them with benchmarks/small_image_networks.py"
        )
    tensors = {name: value.float() for name, value in load_file(str(path)).items()}
    generator, network = SmallGenerator(), SmallVisionNet()
    for name, module in (("generator", generator), ("network", network)):
        state = {
            key.removeprefix(f"{name}."): value
            for key, value in tensors.items()
            if key.startswith(f"{name}.")
        }
        load_strictly(module, state, str(path))
        module.eval().requires_grad_(False)
    return generator, network
