"""Latents of the last steps before quantization, from which codebooks start.

One batch may hold fewer latents than there are codes; k-means wants many times more.
"""

import torch
from torch import Tensor

from brainfm.quantizer import Quantizer

STEPS = 32
LATENTS = 2**15
"""Steps whose latents, and how many latents at most, the codebooks start from."""


class CodebookStart:
    """Collect latents and set the codebooks when their step comes.

    Parameters
    ----------
    at_step
        Optimizer steps before the codebooks come in; until then latents pass as they are.
    """

    def __init__(self, at_step: int) -> None:
        if at_step < 0:
            raise ValueError(f"quantize_after must be at least 0, got {at_step}")
        self.at_step = at_step
        self.latents: list[Tensor] = []

    def due(self, step: int, quantizer: Quantizer, *, training: bool) -> bool:
        """Tell whether latents go through the codebooks: from their step on, if they are set."""
        return step >= self.at_step if training else quantizer.initialised

    def add(self, latents: Tensor, step: int, quantizer: Quantizer) -> None:
        """Keep latents (..., D) of a step and set the codebooks before theirs."""
        remaining = self.at_step - step
        if quantizer.initialised or remaining > STEPS:
            return
        self.latents.append(latents.detach().flatten(0, -2))
        if remaining <= 1:
            quantizer.initialise(torch.cat(self.latents)[-LATENTS:])
            self.latents.clear()
