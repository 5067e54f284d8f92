"""Large weights of an ONNX graph in 8 bits: a quarter of the bytes, nothing else in 8 bits.

A weight becomes integers from -127 to 127 and one scale for each of its outputs; the graph turns
them back into float32 before it multiplies. Signals are never rounded. What decides codes stays as
it is: the tokenizer, codebooks included. A code that flips is another token for all that follows.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

LEAST = 1024
"""Numbers below which a weight is not worth the node that unpacks it."""
KEPT = "tokenizer."
"""Modules whose weights stay float32; part of their names."""


def store_in_int8(proto: Any, module: nn.Module, *, kept: str | None = KEPT) -> int:
    """Store the weights of a module's linear layers in 8 bits, in place.

    Parameters
    ----------
    proto
        ``onnx.ModelProto`` that the module was traced into.
    module
        The same module: initializers have lost their names, and are known by their numbers.
    kept
        Layers with this in their name stay as they are; None: none does.

    Returns
    -------
    int
        How many weights are in 8 bits now.

    Raises
    ------
    ValueError
        There is none.
    """
    from onnx import helper, numpy_helper

    outputs_last = {values.tobytes(): axis for values, axis in _weights(module, kept)}
    unpacking, stored = [], 0
    for initializer in proto.graph.initializer:
        if len(initializer.dims) != 2 or int(np.prod(initializer.dims)) < LEAST:
            continue
        values = numpy_helper.to_array(initializer)
        axis = outputs_last.get(values.tobytes())
        if axis is None:
            continue
        name = initializer.name
        packed, scale = rounded(values, axis)
        zero = np.zeros(len(scale), dtype=np.int8)
        initializer.CopyFrom(numpy_helper.from_array(packed, f"{name}.int8"))
        proto.graph.initializer.append(numpy_helper.from_array(scale, f"{name}.scale"))
        proto.graph.initializer.append(numpy_helper.from_array(zero, f"{name}.zero"))
        parts = [f"{name}.int8", f"{name}.scale", f"{name}.zero"]
        unpacking.append(helper.make_node("DequantizeLinear", parts, [name], axis=axis))
        stored += 1
    if not stored:
        raise ValueError(
            "this model has no weights that could be stored in 8 bits (those of the tokenizer stay "
            "in float32); leave --int8 out"
        )
    nodes = [*unpacking, *proto.graph.node]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    return stored


def rounded(values: NDArray[Any], axis: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return a matrix as integers, and the scale of each row (``axis`` 0) or column (1)."""
    largest = np.abs(values).max(axis=1 - axis)
    scale = (np.where(largest > 0, largest, 1.0) / 127).astype(np.float32)
    wide = scale[:, None] if axis == 0 else scale
    return np.rint(values / wide).astype(np.int8), scale


def _weights(module: nn.Module, kept: str | None) -> Iterator[tuple[NDArray[Any], int]]:
    """Yield the weight of each linear layer both ways round, and which axis its outputs are."""
    for name, layer in module.named_modules():
        if isinstance(layer, nn.Linear) and (kept is None or kept not in f"{name}."):
            weight = layer.weight.detach().numpy()
            yield np.ascontiguousarray(weight), 0
            yield np.ascontiguousarray(weight.T), 1
