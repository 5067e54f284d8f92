"""The fused convolution against torch's own layers, and the folded weight."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch.nn.utils.parametrizations import weight_norm

from brainfm.time_convolution import TimeConv, TimeConvTransposed, convolve, pad_reflect


def test_reflection_by_hand():
    x = torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1)
    assert pad_reflect(x, 1, 1).flatten().tolist() == [2, 1, 2, 3, 2]
    # Shorter than the padding: 1 2 0 is reflected to 0 2 1 2 0 2 1, and the appended one is cut.
    short = torch.tensor([1.0, 2.0]).view(1, 2, 1)
    assert pad_reflect(short, 2, 2).flatten().tolist() == [0, 2, 1, 2, 0, 2]


def test_elu_and_convolution_by_hand():
    """ELU of (-1, 2) is (1/e - 1, 2); reflected by one: 2, 1/e - 1, 2, 1/e - 1; taps 1, 10, 100."""
    x = torch.tensor([-1.0, 2.0]).view(1, 2, 1)
    weight = torch.tensor([1.0, 10.0, 100.0]).view(1, 1, 1, 3)
    y = convolve(x, weight, torch.tensor([0.5]), pads=(1, 1), elu=True).flatten()
    low = torch.tensor(-1.0).exp() - 1
    expected = [2 + 10 * low + 200.5, low + 20 + 100 * low + 0.5]
    torch.testing.assert_close(y, torch.stack(expected))


@pytest.mark.parametrize("elu", [False, True])
@pytest.mark.parametrize(
    ("kernel", "stride", "pads"), [(1, 1, (0, 0)), (5, 1, (2, 2)), (6, 3, (2, 1)), (4, 2, (1, 3))]
)
def test_values_and_gradients_are_those_of_torch(kernel, stride, pads, elu):
    torch.manual_seed(0)
    x = torch.randn(3, 12, 4, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(5, 4, kernel, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(5, dtype=torch.float64, requires_grad=True)
    first = F.elu(x) if elu else x
    padded = F.pad(first.transpose(1, 2), pads, mode="reflect")
    expected = F.conv1d(padded, weight, bias, stride).transpose(1, 2)
    found = convolve(x, weight.unsqueeze(2), bias, stride=stride, pads=pads, elu=elu)
    torch.testing.assert_close(found, expected)
    direction = torch.randn_like(expected)
    torch.testing.assert_close(
        torch.autograd.grad(found, (x, weight, bias), direction),
        torch.autograd.grad(expected, (x, weight, bias), direction),
    )


@pytest.mark.parametrize("trim", [0, 1, 2])
def test_transposed_values_and_gradients_are_those_of_torch(trim):
    torch.manual_seed(0)
    x = torch.randn(3, 7, 4, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(4, 5, 6, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(5, dtype=torch.float64, requires_grad=True)
    image = F.elu(x).transpose(1, 2)
    expected = F.conv_transpose1d(image, weight, bias, 3, trim).transpose(1, 2)
    found = convolve(x, weight.unsqueeze(2), bias, stride=3, elu=True, trim=trim)
    torch.testing.assert_close(found, expected)
    direction = torch.randn_like(expected)
    torch.testing.assert_close(
        torch.autograd.grad(found, (x, weight, bias), direction),
        torch.autograd.grad(expected, (x, weight, bias), direction),
    )


def test_half_precision_where_autocast_asks_for_it():
    conv = TimeConv(4, 4, 3)
    x = torch.randn(2, 8, 4, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        y = conv(x, (1, 1), elu=True)
    assert y.dtype == torch.bfloat16
    y.float().sum().backward()
    assert x.grad is not None
    assert x.grad.dtype == conv.weight.grad.dtype == torch.float32
    torch.testing.assert_close(y.float(), conv(x, (1, 1), elu=True), atol=0.05, rtol=0.05)


@pytest.fixture(params=[TimeConv, TimeConvTransposed])
def conv(request):
    torch.manual_seed(0)
    return weight_norm(request.param(3, 3, 4, stride=2))


def test_folding_keeps_state_and_output(conv):
    x = torch.randn(2, 8, 3)
    names = list(conv.state_dict())
    trained = conv(x)
    with torch.no_grad():
        folded = conv.eval()(x)
    assert list(conv.state_dict()) == names
    torch.testing.assert_close(folded, trained, atol=1e-6, rtol=0)


def test_the_weight_is_folded_once(conv):
    conv.eval()
    with torch.inference_mode():
        first = conv.image_weight()
        assert conv.image_weight() is first
    with torch.no_grad():
        assert conv.image_weight() is first
    assert conv.image_weight() is not first  # a gradient may pass
    conv.requires_grad_(False)
    assert conv.image_weight() is first
    # Made in inference mode, used where the input's gradient is wanted.
    x = torch.randn(2, 8, 3, requires_grad=True)
    conv(x).sum().backward()
    assert x.grad is not None


@pytest.mark.parametrize("how", ["in place", "load", "train", "move"])
def test_a_changed_weight_is_folded_again(conv, how):
    conv.eval().requires_grad_(False)
    before = conv.image_weight().clone()
    length = conv.parametrizations.weight.original0
    if how == "in place":
        length.mul_(2)
    elif how == "load":
        state = {k: 2 * v if k.endswith("original0") else v for k, v in conv.state_dict().items()}
        conv.load_state_dict(state)
    elif how == "train":
        conv.train()
        length.data.mul_(2)  # as optimizers of other engines write: autograd does not notice
        conv.eval()
    else:
        conv = copy.deepcopy(conv).double()
        before = 0.5 * before.double()
    torch.testing.assert_close(conv.image_weight(), 2 * before)
