"""Pictures decoded from the brain beside those that need none, with their scores.

A picture that looks right proves little: a generator draws plausible pictures by itself, and the
most similar picture of the training side is one without any drawing. Both stand beside every
reconstruction, in the same montage and with the same scores.

Shapes: N pictures decoded, M pictures of the training side, H height, W width, D features.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from brainfm.atomic import write_json_atomic
from brainfm.image_metrics import (
    ImageMetricsConfig,
    ImageScore,
    correlation_matrix,
    feature_scores,
    pixel_scores,
)
from brainfm.image_montage import save_montage
from brainfm.image_reconstruction import ReconstructionConfig, Step, reconstruct
from brainfm.image_spaces import ImageSpace, evaluation
from brainfm.network_features import ImageInput, image_features

SHOWN, DECODED = "shown", "decoded"
PRIOR, NEIGHBOUR = "prior only", "nearest neighbour"
Judge = Callable[[Tensor], Mapping[str, Tensor]]
"""Features (N, ...) by name of pictures (N, 3, H, W) in [0, 1]."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingPictures:
    """Pictures of the training side.

    Parameters
    ----------
    images
        (M, 3, H, W) in [0, 1].
    features
        By layer (M, D), of the same network as those that were decoded.
    """

    images: Tensor
    features: Mapping[str, Tensor]

    def nearest(self, features: Mapping[str, Tensor]) -> Tensor:
        """Return for features (N, D) the place (N,) of the picture that is most like them.

        By the mean over layers of the correlation.
        """
        missing = sorted(set(features) - set(self.features))
        if missing or any(len(v) != len(self.images) for v in self.features.values()):
            raise ValueError(
                f"the training pictures ({len(self.images)}) need a row each of the features of "
                f"layers {', '.join(features)}"
            )
        alike = [correlation_matrix(value, self.features[name]) for name, value in features.items()]
        return torch.from_numpy(np.mean(alike, axis=0).argmax(1))


@dataclass(frozen=True, kw_only=True, eq=False)
class ReconstructedImages:
    """What came out.

    Parameters
    ----------
    columns
        By name ("decoded", "prior only", "nearest neighbour"), pictures (N, 3, H, W) in [0, 1].
    loss
        (N,) of the decoded ones.
    scores
        By name of the column and of what is compared ("pixels", a layer); empty if it is not known
        what was shown.
    """

    columns: Mapping[str, Tensor]
    loss: Tensor
    scores: Mapping[str, Mapping[str, tuple[ImageScore, ...]]]


def reconstruct_images(
    features: Mapping[str, Tensor],
    network: nn.Module,
    space: ImageSpace,
    training: TrainingPictures,
    *,
    given: ImageInput | None = None,
    config: ReconstructionConfig | None = None,
    shown: Tensor | None = None,
    judge: Judge | None = None,
    metrics: ImageMetricsConfig | None = None,
    out: str | Path | None = None,
    seed: int = 0,
) -> ReconstructedImages:
    """Reconstruct pictures, and make what the prior and the training side give without a brain.

    Parameters
    ----------
    features
        Decoded features (N, D) by layer (:func:`~brainfm.layer_decoders.decode_layers`).
    network, space, given, config
        As in :func:`~brainfm.image_reconstruction.reconstruct`.
    training
        Where nearest neighbours are looked for. A picture of the test side must not be in it.
    shown
        (N, 3, H, W) in [0, 1], what was seen.
    judge
        What pictures are compared by beside their pixels; None: ``network`` in the layers of
        ``features``, which flatters what was optimised for them: name another network where there
        is one.
    metrics
        How pictures are compared.
    out
        Folder for ``reconstruction.png``, ``progress.png`` and ``scores.json``; None: no files.
    seed
        Of starts, of what is drawn from the prior, and of chance.

    Raises
    ------
    ValueError
        Features, pictures or layers that do not fit.
    """
    cfg, wanted = config or ReconstructionConfig(), given or ImageInput()
    n = len(next(iter(features.values())))
    if shown is not None and len(shown) != n:
        raise ValueError(f"{len(shown)} pictures were shown, but features are of {n}")
    neighbours = training.images[training.nearest(features)]
    generator = torch.Generator().manual_seed(seed)
    watch = _Watcher()
    found = reconstruct(
        features, network, space, cfg, given=wanted, generator=generator, watch=watch
    )
    columns = {
        DECODED: found.images,
        PRIOR: prior_images(space, n, network=network, generator=generator),
        NEIGHBOUR: neighbours.float().cpu(),
    }
    judged = judge or (lambda images: image_features(network, images, list(features), given=wanted))
    scores = {} if shown is None else _scores(columns, shown, judged, metrics, seed)
    result = ReconstructedImages(columns=columns, loss=found.loss, scores=scores)
    if out is not None:
        _write(Path(out), result, shown, watch)
    return result


def prior_images(
    space: ImageSpace, n: int, *, network: nn.Module, generator: torch.Generator
) -> Tensor:
    """Return pictures (N, 3, H, W), on the CPU, of points that the space draws by itself."""
    first = next(network.parameters(), torch.zeros(()))
    with torch.no_grad(), evaluation(space.networks):
        return space.images(space.drawn(n, generator).to(first.device)).float().cpu()


class _Watcher:
    """Keeps how the first pictures came about, at the first start."""

    def __init__(self) -> None:
        self.images: dict[int, Tensor] = {}

    def __call__(self, step: Step) -> None:
        if step.first == 0 and step.start == 0:
            self.images[step.iteration] = step.images


def _scores(
    columns: Mapping[str, Tensor],
    shown: Tensor,
    judge: Judge,
    metrics: ImageMetricsConfig | None,
    seed: int,
) -> dict[str, dict[str, tuple[ImageScore, ...]]]:
    shown = shown.float().cpu()
    truth, found = judge(shown), {}
    for name, images in columns.items():
        mine: dict[str, tuple[ImageScore, ...]] = {
            "pixels": tuple(
                pixel_scores(images, shown, metrics, generator=np.random.default_rng(seed))
            )
        }
        for layer, value in judge(images).items():
            mine[layer] = tuple(
                feature_scores(value, truth[layer], metrics, generator=np.random.default_rng(seed))
            )
        found[name] = mine
    return found


def _write(
    folder: Path, result: ReconstructedImages, shown: Tensor | None, watch: _Watcher
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    first = {} if shown is None else {SHOWN: shown.float().cpu()}
    save_montage(folder / "reconstruction.png", first | dict(result.columns))
    progress = {f"step {iteration}": images for iteration, images in watch.images.items()}
    save_montage(folder / "progress.png", progress)
    values: dict[str, Any] = {
        name: {of: [score._asdict() for score in scores] for of, scores in mine.items()}
        for name, mine in result.scores.items()
    }
    write_json_atomic(folder / "scores.json", {"loss": result.loss.tolist(), "scores": values})
