"""What comes back of pictures that synthetic voxels saw, beside what needs no voxels.

Synthetic: every voxel answers to a random mixture of the standardised features of a picture
(conv4 and fc5 of the bundled network) and has noise with 1 / SNR of the mixture's
deviation, in training and test trials alike; SNR 0 is noise alone. The features are decoded unit by
unit, corrected in deviation and turned into pictures by L-BFGS over latents of the bundled
generator. Half of the pictures that are decoded are of kinds that neither networks nor training
pictures knew. The prior (the generator's own draws) and the nearest training picture are judged in
the same way. Everything is drawn anew for each seed; intervals (95 %, bootstrap) are over seeds.

With --planted features the noise is put into the features themselves (of conv3 too), 1 / SNR of
each unit's deviation: what reconstruction does where decoding is no limit. With --space pixels the
prior's pictures are training pictures drawn at random.

conv4 is one of the layers that are optimised, which flatters; pixels are not. New kinds are told
from one another, so that chance is .5 for them too.

    python benchmarks/image_reconstruction.py --out reconstruction
    python benchmarks/image_reconstruction.py --planted features --snr 1 5 --seeds 3

Writes the montages of the first seed (reconstruction-snr-*.png), and numbers.json.
"""

import argparse
import shutil
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from brainfm.atomic import write_json_atomic
from brainfm.bootstrap import MIN_UNITS, mean_interval
from brainfm.drawn_pictures import SEEN, UNSEEN, draw_pictures
from brainfm.image_metrics import ImageMetricsConfig, correlation_matrix
from brainfm.image_reconstruction import ReconstructionConfig, reconstruct
from brainfm.image_spaces import LatentSpace, PixelSpace
from brainfm.layer_decoders import decode_layers, fit_layers
from brainfm.network_features import image_features
from brainfm.reconstructed_images import TrainingPictures, reconstruct_images
from brainfm.retrieval_metrics import RetrievalConfig, retrieval_metrics
from brainfm.small_image_networks import SMALL_INPUT, load_small_networks
from brainfm.unit_decoders import UnitDecoderConfig

LAYERS = {"voxels": ("conv4", "fc5"), "features": ("conv3", "conv4", "fc5")}
JUDGED, N_VOXELS, N_GALLERY = "conv4", 300, 50
DECODERS = UnitDecoderConfig(inputs=N_VOXELS, penalties=(0.01, 0.1, 1.0, 10.0))
CHEAP = ImageMetricsConfig(pixels=64, ways=(2,), shuffles=1)
"""For the scores that come with a montage; the table has its own."""

Values = dict[str, dict[str, list[float]]]
"""By column and measure, one value per seed."""


class Seen(NamedTuple):
    """Pictures of one seed: training, and a gallery whose first ``n`` are reconstructed."""

    training: TrainingPictures
    gallery: Tensor
    features: dict[str, Tensor]
    new: Tensor


def pictures(
    seed: int, n_training: int, n: int, network: torch.nn.Module, layers: tuple[str, ...]
) -> Seen:
    """Draw the pictures of a seed; every second one of the gallery is of an unknown kind."""
    g = torch.Generator().manual_seed(seed)
    images, _ = draw_pictures(n_training, kinds=SEEN, generator=g)
    half = (N_GALLERY + 1) // 2
    known, unknown = (draw_pictures(half, kinds=k, generator=g)[0] for k in (SEEN, UNSEEN))
    gallery = torch.stack([known, unknown], 1).flatten(0, 1)[:N_GALLERY]
    of = [image_features(network, each, layers, given=SMALL_INPUT) for each in (images, gallery)]
    training = TrainingPictures(images=images, features=of[0])
    return Seen(training, gallery, of[1], torch.arange(n) % 2 == 1)


def voxels(seen: Seen, snr: float, seed: int) -> tuple[Tensor, Tensor]:
    """Return synthetic voxels of the training pictures and of the gallery."""
    g = torch.Generator().manual_seed(1000 + seed)
    sides: tuple[list[Tensor], list[Tensor]] = ([], [])
    for name in seen.features:
        table = seen.training.features[name]
        mean, deviation = table.mean(0), table.std(0).clamp_min(1e-6)
        mix = torch.randn(table.shape[1], N_VOXELS, generator=g) / table.shape[1] ** 0.5
        for side, values in zip(sides, (table, seen.features[name]), strict=True):
            side.append((values - mean) / deviation @ mix)
    signal = [torch.stack(side).sum(0) for side in sides]
    size = signal[0].std(0)
    found = [
        (s / size if snr else 0 * s) + torch.randn(s.shape, generator=g) / (snr or 1)
        for s in signal
    ]
    return found[0], found[1]


def noisy(seen: Seen, snr: float, seed: int) -> dict[str, Tensor]:
    """Return the features of the gallery in noise; at SNR 0 the training mean in noise."""
    g, found = torch.Generator().manual_seed(1000 + seed), {}
    for name, values in seen.features.items():
        mean, deviation = (getattr(seen.training.features[name], of)(0) for of in ("mean", "std"))
        noise = deviation * torch.randn(values.shape, generator=g) / (snr or 1)
        found[name] = (values if snr else mean) + noise
    return found


def judged(images: Tensor, seen: Seen, network: torch.nn.Module) -> dict[str, float]:
    """Return what pictures of the first of the gallery are worth."""
    n = len(images)
    truth = seen.gallery[:n]
    features = image_features(network, images, [JUDGED], given=SMALL_INPUT)[JUDGED]
    of_pixels = correlation_matrix(images, truth)
    own, new = of_pixels.diagonal(), seen.new.numpy()
    return {
        "conv4": two_way(correlation_matrix(features, seen.features[JUDGED][:n])).mean(),
        "pixels": two_way(of_pixels).mean(),
        "pixels, new kinds": two_way(of_pixels[new][:, new]).mean(),
        "r": own.mean(),
        "r, new kinds": own[new].mean(),
    }


def two_way(similarity: np.ndarray) -> np.ndarray:
    """Return the share of others (N,) that every picture of the diagonal is told from."""
    found = retrieval_metrics(similarity, RetrievalConfig(top=(), ways=(2,)))[0]
    return found.credit.diagonal()


def retrieval(decoded: dict[str, Tensor], seen: Seen) -> dict[str, float]:
    """Return how often the right picture of the gallery is among the first by decoded features."""
    mean = seen.training.features[JUDGED].mean(0)
    similarity = correlation_matrix(decoded[JUDGED] - mean, seen.features[JUDGED] - mean)
    found = retrieval_metrics(similarity, RetrievalConfig(top=(1, 5), ways=()))
    return {
        f"top-{k}": each.credit.diagonal().mean() for k, each in zip((1, 5), found, strict=False)
    }


def measure(args: argparse.Namespace, snr: float, folder: Path) -> Values:
    """Return values of all seeds at one signal-to-noise ratio."""
    generator, network = load_small_networks()
    latents = LatentSpace(generator, generator.latent_shape)
    config = ReconstructionConfig(method="lbfgs", iterations=args.iterations)
    found: Values = {}
    for seed in range(args.seeds):
        layers = LAYERS[args.planted]
        seen = pictures(seed, args.training, args.pictures, network, layers)
        if args.planted == "voxels":
            x, test = voxels(seen, snr, seed)
            decoded = decode_layers(fit_layers(x, seen.training.features, DECODERS), test)
        else:
            decoded = noisy(seen, snr, seed)
        space = PixelSpace(seen.training.images) if args.space == "pixels" else latents
        first = {name: values[: args.pictures] for name, values in decoded.items()}
        out = folder / f"snr-{snr:g}" if seed == 0 else None
        result = reconstruct_images(
            first, network, space, seen.training, given=SMALL_INPUT, config=config,
            shown=seen.gallery[: args.pictures], metrics=CHEAP, out=out, seed=seed,
        )  # fmt: skip
        if out is not None:
            (out / "reconstruction.png").replace(folder / f"reconstruction-snr-{snr:g}.png")
            shutil.rmtree(out)
        columns = {name: judged(images, seen, network) for name, images in result.columns.items()}
        columns["decoded features"] = retrieval(decoded, seen)
        for column, values in columns.items():
            for name, value in values.items():
                found.setdefault(column, {}).setdefault(name, []).append(float(value))
    return found


def cell(name: str, values: list[float]) -> str:
    """Return mean and interval over seeds; shares end at 0, correlations at -1."""
    text = f"{np.mean(values):.2f}"
    if len(values) >= MIN_UNITS:
        low, high = mean_interval(
            np.array(values),
            generator=np.random.default_rng(0),
            limits=(-1.0 if name.startswith("r") else 0.0, 1.0),
        )
        text += f" [{low:.2f}, {high:.2f}]"
    return text


def rows(snr: float, found: Values) -> list[str]:
    """Return the lines of the table."""
    lines = []
    for column, values in found.items():
        if column == "decoded features":
            continue
        cells = " | ".join(cell(name, each) for name, each in values.items())
        lines.append(f"| {snr:g} | {column} | {cells} |")
    return lines


def seconds(method: str, iterations: int, *, pixels: bool) -> tuple[float, float]:
    """Return how long one picture takes, on the clock and of processor time."""
    generator, network = load_small_networks()
    seen = pictures(0, 20, 2, network, LAYERS["voxels"])
    features = {name: values[:1] for name, values in seen.features.items()}
    space = PixelSpace(seen.training.images) if pixels else LatentSpace(generator, (96,))
    config = ReconstructionConfig(method=method, iterations=iterations)
    reconstruct(features, network, space, ReconstructionConfig(iterations=2), given=SMALL_INPUT)
    start = time.perf_counter(), time.process_time()
    reconstruct(features, network, space, config, given=SMALL_INPUT)
    return time.perf_counter() - start[0], time.process_time() - start[1]


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("reconstruction"))
    parser.add_argument("--planted", choices=tuple(LAYERS), default="voxels")
    parser.add_argument("--space", choices=("latents", "pixels"), default="latents")
    parser.add_argument("--snr", type=float, nargs="+", default=[0.0, 0.3, 1.0, 5.0])
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--pictures", type=int, default=8, help="reconstructed, per seed")
    parser.add_argument("--training", type=int, default=200, help="pictures, per seed")
    parser.add_argument("--iterations", type=int, default=25)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    names = ("conv4", "pixels", "pixels, new kinds", "r", "r, new kinds")
    print(
        f"synthetic: {args.seeds} seeds, {args.pictures} pictures and {args.training} of training"
    )
    print(f"| SNR | column | {' | '.join(names)} |\n|{'---|' * (2 + len(names))}")
    every = {}
    for snr in args.snr:
        every[f"{snr:g}"] = found = measure(args, snr, args.out)
        print("\n".join(rows(snr, found)), flush=True)
    print(f"retrieval by decoded features of {JUDGED} among {N_GALLERY} new pictures:")
    for snr, found in every.items():
        first, five = (cell("", found["decoded features"][f"top-{k}"]) for k in (1, 5))
        print(f"| {snr} | {first} | {five} |")
    for method, iterations, pixels in (("momentum", 200, False), ("lbfgs", 100, True)):
        took, used = seconds(method, iterations, pixels=pixels)
        where = "pixels" if pixels else "latents"
        print(
            f"one picture, {iterations} steps of {method} over {where}: {took:.1f} s, processor "
            f"{used:.1f} s, {args.threads} thr."
        )
    write_json_atomic(args.out / "numbers.json", every)


if __name__ == "__main__":
    main()
