"""One vector per picture: CLIP's projected embedding, the first token of others."""

import numpy as np
import pytest
import torch
from matplotlib.image import imsave

from brainfm.image_embedding import ImageEmbedder
from brainfm.image_files import image_files, read_image
from brainfm.network_features import ImageInput, load_vision_model

SMALL = {
    "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
    "image_size": 16, "patch_size": 8,
}  # fmt: skip


@pytest.fixture
def pictures(tmp_path):
    (tmp_path / "pictures").mkdir()
    for k in range(3):
        pixels = np.random.default_rng(k).integers(0, 255, (16, 16, 3)).astype(np.uint8)
        imsave(tmp_path / "pictures" / f"{k}.png", pixels)
    return image_files([str(tmp_path / "pictures")])


def saved(kind, folder):
    transformers = pytest.importorskip("transformers", reason="CLIP and DINOv2 need transformers")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if kind == "clip":
            config = transformers.CLIPVisionConfig(**SMALL, projection_dim=5)
            model = transformers.CLIPVisionModelWithProjection(config)
        else:
            model = transformers.Dinov2Model(transformers.Dinov2Config(**SMALL))
    model.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(("kind", "width"), [("clip", 5), ("dinov2", 8)])
def test_embeddings_are_those_of_the_model(kind, width, pictures, tmp_path):
    folder = saved(kind, tmp_path / kind)
    embed = ImageEmbedder(str(folder), cache=tmp_path / "kept")
    found = embed(pictures)
    assert (found.shape, found.dtype) == ((3, width), np.float32)
    model, given = load_vision_model(folder)
    images = torch.stack([read_image(path, given.pixels) for path in pictures.values()])
    with torch.no_grad():
        output = model(given.prepared(images))
    expected = output.image_embeds if kind == "clip" else output.last_hidden_state[:, 0]
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)
    np.testing.assert_array_equal(embed(pictures), found)
    # In another order the rows are too.
    turned = dict(reversed(pictures.items()))
    np.testing.assert_array_equal(embed(turned), found[::-1])


def test_a_network_of_ones_own_needs_a_layer_and_a_model_no_input():
    with pytest.raises(ValueError, match="name a layer of Flatten"):
        ImageEmbedder(network=torch.nn.Flatten())
    with pytest.raises(ValueError, match="given is for a network of one's own"):
        ImageEmbedder(given=ImageInput())
