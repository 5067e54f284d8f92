"""Convolution over time, features last: ELU, padding and convolution as one differentiable step.

Three things make it fast where rows are many and features few. Features lie next to each other in
memory, so that every kernel tap is a matrix product and nothing is reordered between layers. The
ELU writes straight into the padded buffer that the convolution reads. And only the layer's input is
kept for the backward pass: ELU and padding are cheap to compute again.

Shapes: R rows, T samples, F features, k kernel.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.utils.parametrize import is_parametrized

ATEN = torch.ops.aten


def pad_reflect(x: Tensor, left: int, right: int) -> Tensor:
    """Pad the time axis of (R, T, F) by reflection, also where it is shorter than the padding.

    EnCodec's rule for short signals: zeros are appended, the result is reflected and cut.
    """
    missing = max(left, right) + 1 - x.shape[1]
    if missing > 0:
        longer = pad_reflect(F.pad(x, (0, 0, 0, missing)), left, right)
        return longer[:, : longer.shape[1] - missing]
    return _padded(x, left, right, elu=False)


def _padded(x: Tensor, left: int, right: int, *, elu: bool) -> Tensor:
    """Return ELU (if asked for) of (R, T, F), reflected by ``left`` and ``right`` < T samples."""
    if left == right == 0:
        return F.elu(x) if elu else x
    n = x.shape[1]
    y = x.new_empty(x.shape[0], left + n + right, x.shape[2])
    inner = y[:, left : left + n]
    if elu:
        ATEN.elu.out(x, out=inner)
    else:
        inner.copy_(x)
    if left:
        y[:, :left] = inner[:, 1 : left + 1].flip(1)
    if right:
        y[:, left + n :] = inner[:, n - 1 - right : n - 1].flip(1)
    return y


def _unpadded(g: Tensor, x: Tensor, left: int, right: int, *, elu: bool) -> Tensor:
    """Return the gradient at x of :func:`_padded` given that at its output; spoils ``g``."""
    n = x.shape[1]
    inner = g[:, left : left + n]
    if left:
        inner[:, 1 : left + 1] += g[:, :left].flip(1)
    if right:
        inner[:, n - 1 - right : n - 1] += g[:, left + n :].flip(1)
    return ATEN.elu_backward(inner, 1, 1, 1, False, x) if elu else inner


def _image(x: Tensor) -> Tensor:
    """View (R, T, F) as (R, F, 1, T), which is torch's "channels last" of a flat image."""
    return x.transpose(1, 2).unsqueeze(2)


class _Convolution(torch.autograd.Function):
    """ELU, reflection and (transposed) convolution of (R, T, F), keeping nothing but the input."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        stride: int,
        pads: tuple[int, int],
        elu: bool,
        trim: int | None,
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.settings = stride, pads, elu, trim
        image = _image(_padded(x, *pads, elu=elu))
        if trim is None:
            return F.conv2d(image, weight, bias, (1, stride))
        return F.conv_transpose2d(image, weight, bias, (1, stride), (0, trim))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        stride, pads, elu, trim = ctx.settings
        image = _image(_padded(x, *pads, elu=elu))
        wanted = list(ctx.needs_input_grad[:3])
        g_image, g_weight, g_bias = ATEN.convolution_backward(
            gradient.contiguous(memory_format=torch.channels_last),
            image,
            weight,
            [gradient.shape[1]],
            [1, stride],
            [0, trim or 0],
            [1, 1],
            trim is not None,
            [0, 0],
            1,
            wanted,
        )
        g_x = None
        if wanted[0]:
            g_x = _unpadded(g_image.squeeze(2).transpose(1, 2), x, *pads, elu=elu)
        return g_x, g_weight, g_bias, None, None, None, None


def convolve(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    *,
    stride: int = 1,
    pads: tuple[int, int] = (0, 0),
    elu: bool = False,
    trim: int | None = None,
) -> Tensor:
    """Convolve (R, T, F) over time.

    Parameters
    ----------
    weight
        (F', F, 1, k), or (F, F', 1, k) of a transposed convolution.
    bias
        (F',).
    stride
        Samples from one output (transposed: input) to the next.
    pads
        Samples reflected at both ends.
    elu
        Take the ELU of ``x`` first.
    trim
        None is a convolution, a number a transposed one with as many outputs cut off at both ends.

    Returns
    -------
    Tensor
        (R, T', F'), contiguous.
    """
    device = x.device.type
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        x, weight, bias = x.to(dtype), weight.to(dtype), bias.to(dtype)
    if max(pads) >= x.shape[1]:
        x, pads, elu = pad_reflect(F.elu(x) if elu else x, *pads), (0, 0), False
    y = _Convolution.apply(x, weight, bias, stride, pads, elu, trim)
    return y.squeeze(2).transpose(1, 2)


class FoldingConv(nn.Module):
    """Mixin for weight-normed convolutions: the weight as one tensor, folded once for inference.

    Where no gradient can reach the weight and the module is in eval mode, the product of direction
    and length is kept until either is written to or :meth:`train` is called. Parameters and state
    dict stay as they are.
    """

    _folded: tuple[tuple[int, ...], Tensor] | None = None

    def train(self, mode: bool = True) -> Any:
        """Set the mode and forget the folded weight."""
        self._folded = None
        return super().train(mode)

    def image_weight(self) -> Tensor:
        """Return the weight (F', F, 1, k), features last in memory."""
        parts = list(self.parameters_of_weight())
        frozen = not torch.is_grad_enabled() or not any(p.requires_grad for p in parts)
        if self.training or not frozen or any(p.is_inference() for p in parts):
            return self._features_last()
        if torch.compiler.is_compiling():
            return self._features_last()
        key = tuple(number for p in parts for number in (p.data_ptr(), p._version))
        if self._folded is None or self._folded[0] != key:
            # A tensor made in inference mode could not be used outside of it.
            with torch.inference_mode(False), torch.no_grad():
                self._folded = key, self._features_last()
        return self._folded[1]

    def parameters_of_weight(self) -> list[Tensor]:
        """Return what the weight is made of: direction and length, or itself."""
        if is_parametrized(self, "weight"):
            parametrization: Any = self.parametrizations
            return list(parametrization.weight.parameters(recurse=False))
        return [self.weight]  # type: ignore[list-item]

    def _features_last(self) -> Tensor:
        weight: Any = self.weight
        return weight.unsqueeze(2).contiguous(memory_format=torch.channels_last)


class TimeConv(FoldingConv, nn.Conv1d):
    """``nn.Conv1d`` (same parameters) on (R, T, F), with ELU and reflection before."""

    def forward(self, x: Tensor, pads: tuple[int, int] = (0, 0), *, elu: bool = False) -> Tensor:
        """Map (R, T, F) to (R, T', F')."""
        assert self.bias is not None
        weight = self.image_weight()
        return convolve(x, weight, self.bias, stride=self.stride[0], pads=pads, elu=elu)


class TimeConvTransposed(FoldingConv, nn.ConvTranspose1d):
    """``nn.ConvTranspose1d`` (same parameters) on (R, T, F), with ELU before and ends cut off."""

    def forward(  # type: ignore[override]
        self, x: Tensor, trim: int = 0, *, elu: bool = False
    ) -> Tensor:
        """Map (R, T, F) to (R, (T - 1) * stride + k - 2 * trim, F')."""
        assert self.bias is not None
        weight = self.image_weight()
        return convolve(x, weight, self.bias, stride=self.stride[0], elu=elu, trim=trim)
