"""Train the small generator and feature network that are bundled (brainfm/small_image_networks.py).

Half of the pictures are drawn (kinds outside brainfm.drawn_pictures.UNSEEN), half are crops of
photographs that come with scikit-image and are in the public domain or CC0 (astronaut, coffee,
chelsea, rocket, brick, grass, gravel). The network learns which kind or photograph a picture is;
the generator is the decoder of a variational autoencoder, so its latents are standard normal.

    python benchmarks/small_image_networks.py --out small_image_networks.safetensors --minutes 12
"""

import argparse
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from brainfm.drawn_pictures import SEEN, draw_pictures
from brainfm.small_image_networks import (
    N_KINDS,
    PIXELS,
    SMALL_INPUT,
    SmallGenerator,
    SmallVisionNet,
    save_small_networks,
)

PHOTOGRAPHS = ("astronaut", "coffee", "chelsea", "rocket", "brick", "grass", "gravel")
NOISE = 0.08
"""Standard deviation of a pixel about what the generator draws, as the autoencoder assumes."""


def photographs() -> list[Tensor]:
    """Return the photographs, (3, H, W) in [0, 1]."""
    import skimage.data

    found = []
    for name in PHOTOGRAPHS:
        pixels = np.asarray(getattr(skimage.data, name)())
        pixels = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)
        found.append(torch.from_numpy(pixels[..., :3].copy()).permute(2, 0, 1).float() / 255)
    return found


def crops(n: int, photos: list[Tensor], generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return random crops (N, 3, H, W), mirrored half the time, and which photograph each is of."""
    images, kinds = [], torch.randint(len(photos), (n,), generator=generator)
    for kind in kinds.tolist():
        photo = photos[kind]
        draws = torch.rand(5, generator=generator).tolist()
        side = int((0.3 + 0.6 * draws[0]) * min(photo.shape[1:]))
        top, left = (int(d * (s - side)) for d, s in zip(draws[1:3], photo.shape[1:], strict=True))
        cut = photo[None, :, top : top + side, left : left + side]
        cut = F.interpolate(cut, (PIXELS, PIXELS), mode="area")[0]
        cut = cut.flip(-1) if draws[3] < 0.5 else cut
        images.append((cut * (0.7 + 0.6 * draws[4])).clamp(0, 1))
    return torch.stack(images), kinds


def batches(n: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield pictures and kinds, drawings first."""
    photos = photographs()
    while True:
        drawn, kinds = draw_pictures(n // 2, pixels=PIXELS, generator=generator)
        taken, which = crops(n - n // 2, photos, generator)
        yield torch.cat([drawn, taken]), torch.cat([kinds, which + len(SEEN)])


def train(
    minutes: float, parameters: list[nn.Parameter], rate: float, step: Callable[[], Tensor]
) -> None:
    """Take steps of Adam for so long, the rate falling to nothing."""
    optimizer = torch.optim.Adam(parameters, lr=rate)
    start, steps, told = time.monotonic(), 0, 0.0
    while (past := (time.monotonic() - start) / 60 / minutes) < 1:
        optimizer.param_groups[0]["lr"] = rate * (1 - past) * min(1, (steps + 1) / 50)
        loss = step()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        steps += 1
        if past >= told:
            print(f"{past:4.0%} step {steps} loss {float(loss.detach()):.4f}", flush=True)
            told += 0.1


def encoder() -> nn.Module:
    """Return the half of the autoencoder that is not kept: mean and log variance of a latent."""
    sizes = (3, 32, 64, 96, 96)
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Conv2d(before, after, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
    latent = SmallGenerator.latent_shape[0]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(sizes[-1] * 16, 2 * latent))


def main() -> None:
    """Train both and write them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=12.0)
    parser.add_argument("--batch", type=int, default=48)
    args = parser.parse_args()
    torch.manual_seed(0)
    stream = batches(args.batch, torch.Generator().manual_seed(0))
    network, decoder, coder = SmallVisionNet(), SmallGenerator(), encoder()

    def kinds() -> Tensor:
        images, kind = next(stream)
        scores = network(SMALL_INPUT.prepared(images))
        assert scores.shape[1] == N_KINDS
        return F.cross_entropy(scores, kind)

    def pictures() -> Tensor:
        images, _ = next(stream)
        mean, log_var = coder(SMALL_INPUT.prepared(images)).chunk(2, dim=1)
        log_var = log_var.clamp(-8, 4)
        latent = mean + torch.randn_like(mean) * (0.5 * log_var).exp()
        error = (decoder(latent) - images).square().flatten(1).sum(1) / (2 * NOISE**2)
        divergence = 0.5 * (mean.square() + log_var.exp() - 1 - log_var).sum(1)
        return (error + divergence).mean() / images[0].numel()

    train(0.25 * args.minutes, list(network.parameters()), 2e-3, kinds)
    with torch.no_grad():
        images, kind = next(stream)
        right = network(SMALL_INPUT.prepared(images)).argmax(1) == kind
    print(f"kinds told right in a new batch: {float(right.float().mean()):.2f}", flush=True)
    train(0.75 * args.minutes, [*decoder.parameters(), *coder.parameters()], 2e-3, pictures)
    save_small_networks(args.out, decoder, network)
    print(f"{args.out}: {args.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
