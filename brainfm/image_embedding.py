"""One vector per picture from a network, kept on the disk picture by picture.

Shapes: N pictures, D features.
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from brainfm.feature_cache import Arrays, FeatureCache
from brainfm.image_files import read_image
from brainfm.network_features import (
    ImageInput,
    check_layers,
    image_features,
    load_vision_model,
    network_digest,
)
from brainfm.small_image_networks import SMALL_INPUT, SMALL_LAYERS, load_small_networks

SMALL = "small"
"""Name of the network that comes with the package."""
BATCH = 32


class VisionEmbedding(nn.Module):
    """A vision model of transformers whose embedding of a picture is the output of a layer.

    The layer is called ``embedding``: CLIP's projected image embedding, the first token of others.
    The model's own layers are called ``model.`` and their name.

    Parameters
    ----------
    model
        The model.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.embedding = nn.Identity()

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Return embeddings (N, D)."""
        output = self.model(pixel_values)
        projected = getattr(output, "image_embeds", None)
        found = output.last_hidden_state[:, 0] if projected is None else projected
        embedded: Tensor = self.embedding(found)
        return embedded


class ImageEmbedder:
    """Features of picture files in a layer of a network.

    Parameters
    ----------
    model
        ``small`` for the bundled network, a folder, or a name on the hub (CLIP, DINOv2, ViT).
    network
        Any module in place of ``model``.
    given
        How ``network`` wants pictures.
    layer
        Name of the layer; empty: the embedding of ``model``. ``network`` needs one.
    cache
        Folder that keeps features, by picture, weights and settings; None: nothing is kept.
    """

    def __init__(
        self,
        model: str = SMALL,
        *,
        network: nn.Module | None = None,
        given: ImageInput | None = None,
        layer: str = "",
        cache: str | Path | None = None,
    ) -> None:
        if network is None:
            if given is not None:
                raise ValueError(f"given is for a network of one's own, not for model {model!r}")
            network, given, own = _known(model)
            layer = layer or own
        elif not layer:
            raise ValueError(f"name a layer of {type(network).__name__}: layer is empty")
        check_layers(network, [layer])
        self.network, self.layer = network, layer
        self.given = given or ImageInput()
        self.cache = FeatureCache(cache)
        self.digest = network_digest(network)

    def __call__(self, pictures: Mapping[str, Path]) -> NDArray[np.float32]:
        """Return features (N, D) of picture files by content id, in their order."""
        rows: dict[str, NDArray[Any]] = {}
        missing = []
        for content in pictures:
            entry = self.cache.path(*self._key(content))
            if entry is not None and entry.is_file():
                rows[content] = self.cache.get(dict, *self._key(content))["features"]
            else:
                missing.append(content)
        for start in range(0, len(missing), BATCH):
            some = missing[start : start + BATCH]
            images = torch.stack([read_image(pictures[c], self.given.pixels) for c in some])
            made = image_features(self.network, images, [self.layer], given=self.given)[self.layer]
            for content, row in zip(some, made.numpy(), strict=True):
                made_of: Arrays = {"features": row.copy()}
                rows[content] = self.cache.get(made_of.copy, *self._key(content))["features"]
        return np.stack([rows[content] for content in pictures]).astype(np.float32)

    def _key(self, content: str) -> tuple[Any, ...]:
        settings = list(asdict(self.given).values())
        return ("image embedding 1", self.digest, self.layer, settings, content)


def _known(model: str) -> tuple[nn.Module, ImageInput, str]:
    """Return a network by name, how it wants pictures, and the layer of its embedding."""
    if model == SMALL:
        return load_small_networks()[1], SMALL_INPUT, SMALL_LAYERS[-1]
    loaded, given = load_vision_model(model)
    return VisionEmbedding(loaded).eval(), given, "embedding"
