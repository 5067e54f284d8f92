"""Features of images in chosen layers of a network, computed once.

Any torch module, or a vision model of transformers (CLIP, DINOv2) from a folder or the hub. What is
taken is a layer's output before the rectifier that follows it, as image reconstruction needs, even
where that rectifier works in place.

Shapes: N images, H height, W width, D features of a layer.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from brainfm.feature_cache import FeatureCache

RECTIFIERS = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.GELU, nn.SiLU, nn.ELU, nn.Hardswish)
_LISTED = 40


@dataclass(frozen=True, kw_only=True)
class ImageInput:
    """How a network wants its images.

    Parameters
    ----------
    pixels
        Height and width.
    mean, std
        Of red, green and blue in [0, 1], subtracted and divided by.
    """

    pixels: int = 224
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    def __post_init__(self) -> None:
        if self.pixels < 1 or min(self.std) <= 0:
            raise ValueError(f"pixels and std must be positive, got {self.pixels} and {self.std}")

    def prepared(self, images: Tensor) -> Tensor:
        """Return images (N, 3, H, W) in [0, 1] as the network wants them; gradients pass."""
        if images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(f"images must be (N, 3, H, W), got {tuple(images.shape)}")
        size = (self.pixels, self.pixels)
        if images.shape[-2:] != size:
            images = F.interpolate(images, size, mode="bilinear", antialias=True)
        mean, std = (images.new_tensor(v)[:, None, None] for v in (self.mean, self.std))
        return (images - mean) / std


def layer_names(network: nn.Module) -> tuple[str, ...]:
    """Return the layers that have an output before a rectifier or none: all but rectifiers."""
    return tuple(
        name
        for name, module in network.named_modules()
        if name and not isinstance(module, RECTIFIERS)
    )


def check_layers(network: nn.Module, layers: Sequence[str]) -> None:
    """Raise ValueError naming layers that the network has not, and those that it has."""
    known = layer_names(network)
    unknown = [name for name in layers if name not in known]
    if unknown or not layers:
        more = f" and {len(known) - _LISTED} more" if len(known) > _LISTED else ""
        raise ValueError(
            f"{type(network).__name__} has no layers {', '.join(unknown) or '(none given)'}; it "
            f"has {', '.join(known[:_LISTED])}{more}"
        )


def layer_outputs(network: nn.Module, x: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
    """Return the outputs (N, ...) of layers for an input of the network, with gradient.

    A layer that gives several tensors (attention) counts with its first; of one that is called
    several times the last call counts.

    Raises
    ------
    ValueError
        Unknown layers; a layer that the network does not use, or that gives no tensor.
    """
    check_layers(network, layers)
    found: dict[str, Tensor] = {}
    modules = dict(network.named_modules())

    def keep(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> Tensor | None:
            first = output if isinstance(output, Tensor) else _first_tensor(output)
            if first is None:
                raise ValueError(f"layer {name} gives no tensor but {type(output).__name__}")
            found[name] = first
            # A rectifier that works in place would change what was kept.
            return first.clone() if isinstance(output, Tensor) else None

        return hook

    handles = [modules[name].register_forward_hook(keep(name)) for name in layers]
    try:
        network(x)
    finally:
        for handle in handles:
            handle.remove()
    unused = [name for name in layers if name not in found]
    if unused:
        raise ValueError(f"{type(network).__name__} does not use layers {', '.join(unused)}")
    return {name: found[name] for name in layers}


def _first_tensor(output: Any) -> Tensor | None:
    values = output.values() if isinstance(output, Mapping) else output
    if not isinstance(values, Sequence) and not isinstance(output, Mapping):
        return None
    return next((value for value in values if isinstance(value, Tensor)), None)


def network_digest(network: nn.Module) -> str:
    """Return a hash of a network's structure and weights."""
    state = hashlib.sha256(repr(network).encode())
    for name, value in sorted(network.state_dict().items()):
        state.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        raw = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        state.update(raw.numpy().tobytes())
    return state.hexdigest()


def image_features(
    network: nn.Module,
    images: Tensor,
    layers: Sequence[str],
    *,
    given: ImageInput | None = None,
    cache: str | Path | None = None,
    batch: int = 32,
) -> dict[str, Tensor]:
    """Return features (N, D), float32 on the CPU, of every layer for images in [0, 1].

    Parameters
    ----------
    network
        On any device; it is put in evaluation mode for the time.
    images
        (N, 3, H, W).
    layers
        By name (:func:`layer_names`).
    given
        How the network wants images.
    cache
        Folder of entries by the hash of weights, pixels and settings
        (:class:`~brainfm.feature_cache.FeatureCache`).
    batch
        Images at once.
    """
    wanted = given or ImageInput()
    check_layers(network, layers)

    def make() -> dict[str, NDArray[Any]]:
        found = _computed(network, images, layers, wanted, batch)
        return {str(k): found[name].numpy() for k, name in enumerate(layers)}

    if cache is None:
        arrays = make()
    else:
        pixels = images.detach().cpu().contiguous()
        raw = pixels.reshape(-1).view(torch.uint8).numpy().tobytes()
        settings = [wanted.pixels, wanted.mean, wanted.std, list(layers), str(pixels.dtype)]
        shape = list(pixels.shape)
        arrays = FeatureCache(cache).get(make, network_digest(network), raw, shape, settings)
    return {name: torch.from_numpy(arrays[str(k)]) for k, name in enumerate(layers)}


def _computed(
    network: nn.Module, images: Tensor, layers: Sequence[str], wanted: ImageInput, batch: int
) -> dict[str, Tensor]:
    parts: dict[str, list[Tensor]] = {name: [] for name in layers}
    first = next(network.parameters(), None)
    target = {} if first is None else {"device": first.device, "dtype": first.dtype}
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        with torch.no_grad():
            for some in images.split(batch):
                x = wanted.prepared(some.to(**target))
                for name, value in layer_outputs(network, x, layers).items():
                    parts[name].append(value.flatten(1).float().cpu())
    finally:
        for module, mode in modes:
            module.training = mode
    return {name: torch.cat(values).contiguous() for name, values in parts.items()}


def load_vision_model(name: str | Path) -> tuple[nn.Module, ImageInput]:
    """Load the image side of a transformers model (CLIP, DINOv2, ViT) and how it wants images.

    Parameters
    ----------
    name
        A folder with ``config.json`` and weights, or a name on the hub.

    Raises
    ------
    FileNotFoundError, ValueError
        A path that does not exist; a model that cannot be loaded.
    """
    from transformers import AutoConfig, AutoModel, CLIPVisionModelWithProjection

    folder = Path(name)
    if (folder.is_absolute() or str(name).startswith(".")) and not folder.is_dir():
        raise FileNotFoundError(f"no folder of a vision model at {name}")
    try:
        config = AutoConfig.from_pretrained(name)
        kind: Any = AutoModel
        vision = getattr(config, "vision_config", config)
        if config.model_type in ("clip", "clip_vision_model"):
            kind = CLIPVisionModelWithProjection
            vision.projection_dim = config.projection_dim
        model, report = kind.from_pretrained(name, config=vision, output_loading_info=True)
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"no vision model could be loaded from {name}: {reason}") from error
    if report["missing_keys"]:
        raise ValueError(
            f"{name} lacks {len(report['missing_keys'])} weights of {type(model).__name__}, e.g. "
            f"{sorted(report['missing_keys'])[0]}; they would be random"
        )
    return model.eval(), _wanted_input(folder, vision)


def _wanted_input(folder: Path, config: Any) -> ImageInput:
    pixels = int(getattr(config, "image_size", 224))
    written = folder / "preprocessor_config.json"
    if not written.is_file():
        return ImageInput(pixels=pixels)
    import json

    settings = json.loads(written.read_text(encoding="utf-8"))
    default = ImageInput()
    mean, std = settings.get("image_mean", default.mean), settings.get("image_std", default.std)
    return ImageInput(pixels=pixels, mean=tuple(mean), std=tuple(std))
