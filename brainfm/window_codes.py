"""Codes of windows, whatever recordings they are from and whatever goes through with them.

Every window is a sample of its own, with the embedding of its own sensors, and nothing is summed
over windows. On a CPU its codes are then the same to the last bit with any company (a test holds
it). Other devices choose their kernels by the shape of a call: there every call has one shape.

Shapes: M windows, C sensors, L samples, D width, P frames a window, N sources, Q quantizers.
"""

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

from brainfm.brain_tokenizer import BrainTokenizer, Sensors

CHANNEL_WINDOWS = 1024
"""Channels x windows that go through the tokenizer at once: bounds memory, not the result."""


def repeated(sensors: Sensors, n: int) -> Sensors:
    """Return the sensors of one recording, batch axis of one, for ``n`` windows of it."""
    return Sensors(sensors.embedding.expand(n, -1, -1), sensors.mask.expand(n, -1))


def window_codes(
    tokenizer: BrainTokenizer,
    windows: Tensor,
    sensors: Sensors,
    *,
    channel_windows: int = CHANNEL_WINDOWS,
    one_shape: bool | None = None,
) -> Tensor:
    """Return the codes (M, N, P, Q) of windows (M, C, L) that know nothing of each other.

    Parameters
    ----------
    tokenizer
        In eval mode and not causal.
    windows
        Standardised signals on the tokenizer's device.
    sensors
        Of each window: embedding (M, C, D) and mask (M, C).
    channel_windows
        Channels x windows at once.
    one_shape
        Fill every call up to the same number of windows; None: on all devices but a CPU.
    """
    fill = windows.device.type != "cpu" if one_shape is None else one_shape
    at_once = max(1, channel_windows // windows.shape[1])
    # A single row would be multiplied as a vector, which rounds otherwise than a matrix.
    least = at_once if fill else 2 if windows.shape[1] == 1 else 1
    pieces = []
    with torch.no_grad():
        for begin in range(0, len(windows), at_once):
            part = slice(begin, begin + at_once)
            x, embedding, mask = windows[part], sensors.embedding[part], sensors.mask[part]
            missing = max(0, least - len(x))
            if missing:
                x = F.pad(x, (0, 0, 0, 0, 0, missing))
                embedding = torch.cat([embedding, embedding[-1:].expand(missing, -1, -1)])
                mask = torch.cat([mask, mask[-1:].expand(missing, -1)])
            z = tokenizer.encode(rearrange(x, "m c l -> m c 1 l"), Sensors(embedding, mask))
            codes = tokenizer.quantizer(z).codes
            pieces.append(codes[: len(codes) - missing])
    return torch.cat(pieces)


def as_frames(codes: Tensor) -> NDArray[np.uint16]:
    """Return the codes of consecutive windows (M, N, P, Q) as frames (M * P, N, Q)."""
    return rearrange(codes, "m n p q -> (m p) n q").cpu().numpy().astype(np.uint16)
