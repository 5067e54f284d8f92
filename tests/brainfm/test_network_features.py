"""Features before the rectifier, cached by what they depend on; real loading of small models."""

import pytest
import torch
from torch import nn

from brainfm.network_features import (
    ImageInput,
    image_features,
    layer_outputs,
    load_vision_model,
    network_digest,
)

SMALL = ImageInput(pixels=8, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(256, 5)
    )


@pytest.fixture
def images():
    return torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def test_features_are_those_before_a_rectifier_that_works_in_place(network, images):
    found = image_features(network, images, ["0", "3"], given=SMALL, batch=2)
    x = (images - 0.5) / 0.5
    with torch.no_grad():
        torch.testing.assert_close(found["0"], network[0](x).flatten(1))
        torch.testing.assert_close(found["3"], network(x))
    assert found["0"].min() < 0


def test_gradients_pass_through_layers_and_modes_are_left_as_they_were(network, images):
    images.requires_grad_()
    outputs = layer_outputs(network, SMALL.prepared(images), ["3"])
    outputs["3"].sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0
    network.train()
    network[0].eval()
    image_features(network, images.detach(), ["0"], given=SMALL)
    assert network.training
    assert not network[0].training


def test_the_cache_is_used_for_the_same_and_only_for_the_same(network, images, tmp_path):
    def files():
        return len(list(tmp_path.rglob("*.npz")))

    first = image_features(network, images, ["0"], given=SMALL, cache=tmp_path)
    network[0].register_forward_hook(lambda *_: pytest.fail("computed again"))
    again = image_features(network, images, ["0"], given=SMALL, cache=tmp_path)
    torch.testing.assert_close(again, first)
    assert files() == 1
    network[0]._forward_hooks.clear()
    image_features(network, images + 0, ["3"], given=SMALL, cache=tmp_path)
    image_features(network, images * 0.5, ["0"], given=SMALL, cache=tmp_path)
    with torch.no_grad():
        network[3].bias += 1
    image_features(network, images, ["0"], given=SMALL, cache=tmp_path)
    assert files() == 4


def test_a_damaged_file_of_the_cache_is_named(network, images, tmp_path):
    image_features(network, images, ["0"], given=SMALL, cache=tmp_path)
    (file,) = tmp_path.rglob("*.npz")
    file.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="is damaged"):
        image_features(network, images, ["0"], given=SMALL, cache=tmp_path)


def test_unknown_and_unused_layers_are_named(network, images):
    with pytest.raises(ValueError, match="has no layers conv9; it has 0, 2, 3"):
        image_features(network, images, ["conv9"])

    class Forgetful(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.idle = nn.Conv2d(3, 1, 1), nn.Conv2d(3, 1, 1)

        def forward(self, x):
            return self.used(x)

    with pytest.raises(ValueError, match="does not use layers idle"):
        layer_outputs(Forgetful(), images, ["idle"])


def test_the_digest_follows_weights_and_structure(network):
    before = network_digest(network)
    assert network_digest(network) == before
    with torch.no_grad():
        network[0].weight[0, 0, 0, 0] += 1
    assert network_digest(network) != before


@pytest.mark.parametrize("kind", ["clip", "dinov2"])
def test_small_models_of_transformers_load_from_a_folder(kind, tmp_path, images):
    transformers = pytest.importorskip("transformers")
    size = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 16,
        "patch_size": 8,
    }
    if kind == "clip":
        text = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
        config = transformers.CLIPConfig(vision_config=size, text_config=text, projection_dim=6)
        model, layers = transformers.CLIPModel(config), ["visual_projection"]
    else:
        model = transformers.Dinov2Model(transformers.Dinov2Config(**size))
        layers = ["layernorm"]
    model.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(
        '{"image_mean": [0.1, 0.2, 0.3], "image_std": [1, 1, 1]}'
    )
    loaded, given = load_vision_model(tmp_path)
    assert given == ImageInput(pixels=16, mean=(0.1, 0.2, 0.3), std=(1, 1, 1))
    features = image_features(loaded, images, layers, given=given)[layers[0]]
    x = given.prepared(images)
    with torch.no_grad():
        if kind == "clip":
            expected = model.eval().get_image_features(pixel_values=x)
            expected = expected if isinstance(expected, torch.Tensor) else expected.pooler_output
        else:
            expected = model.eval()(pixel_values=x).last_hidden_state.flatten(1)
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-5)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder of a vision model"):
        load_vision_model(tmp_path / "none")
    with pytest.raises(ValueError, match="no vision model could be loaded"):
        load_vision_model(tmp_path)
