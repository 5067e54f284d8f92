"""
What was seen: pictures from synthetic voxels
=============================================

Everything here is **synthetic**: drawn pictures, and voxels that mix features of a small
network with noise. It shows the way from voxels to layers of a network to a picture, beside
what needs no brain.
"""

# %%
# Pictures
# --------
#
# Both networks come with the package: one that sees (its layers are what is decoded) and one that
# draws. The pictures that are to be decoded are of kinds that voxels and networks never met.

import matplotlib.pyplot as plt
import torch

from brainfm.drawn_pictures import SEEN, UNSEEN, draw_pictures
from brainfm.image_metrics import ImageMetricsConfig
from brainfm.image_reconstruction import ReconstructionConfig
from brainfm.image_spaces import LatentSpace
from brainfm.layer_decoders import decode_layers, fit_layers
from brainfm.network_features import image_features
from brainfm.reconstructed_images import TrainingPictures, reconstruct_images
from brainfm.small_image_networks import SMALL_INPUT, load_small_networks

layers = ("conv4", "fc5")
generator, network = load_small_networks()
chance = torch.Generator().manual_seed(0)
train_images, _ = draw_pictures(400, kinds=SEEN, generator=chance)
test_images, _ = draw_pictures(4, kinds=UNSEEN, generator=chance)
features = image_features(network, train_images, layers, given=SMALL_INPUT)
truth = image_features(network, test_images, layers, given=SMALL_INPUT)

# %%
# Synthetic voxels
# ----------------
#
# 500 voxels, each a random mixture of the features of all layers, and noise of half its
# deviation.


def standard(found):
    """Return the features of all layers side by side, each unit standardised."""
    parts = [
        ((found[name] - features[name].mean(0)) / (features[name].std(0) + 1e-6)).flatten(1)
        for name in layers
    ]
    return torch.cat(parts, dim=1)


mixture = torch.randn(standard(features).shape[1], 500, generator=chance)
signal = standard(features) @ mixture
level = signal.std(0)
train_voxels = signal + 0.2 * level * torch.randn(signal.shape, generator=chance)
seen = standard(truth) @ mixture
test_voxels = seen + 0.2 * level * torch.randn(seen.shape, generator=chance)

# %%
# Decode the layers, then draw
# ----------------------------

decoded = decode_layers(fit_layers(train_voxels, features), test_voxels)
found = reconstruct_images(
    decoded,
    network,
    LatentSpace(generator, generator.latent_shape),
    TrainingPictures(images=train_images, features=features),
    given=SMALL_INPUT,
    config=ReconstructionConfig(method="lbfgs", iterations=25),
    shown=test_images,
    metrics=ImageMetricsConfig(pixels=64, ways=(2,)),
    out="runs/pictures",
)

# %%
# What was seen, what was decoded, what is drawn without a brain (*prior only*), and the training
# picture whose features are nearest:

figure, axes = plt.subplots(figsize=(6, 6), layout="constrained")
axes.imshow(plt.imread("runs/pictures/reconstruction.png"))
axes.axis("off")

# %%
# The same measures for all three. Two-way identification: how often a decoded picture is more
# like the right one than like another; chance is .5, and four pictures are few. Look at the
# nearest neighbour before you believe that a decoder draws: it identifies and draws nothing.

for column, scores in found.scores.items():
    for of, measured in scores.items():
        shown = ", ".join(f"{one.name} {one.value:.2f}" for one in measured[:2])
        print(f"{column:>18}  {of:<8} {shown}")
