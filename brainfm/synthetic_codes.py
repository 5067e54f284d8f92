"""Synthetic codes of which the best possible prediction is known: for tests and measurements.

A hidden state follows a Markov chain in time. Each source shows it with noise of its own, which
couples the sources, and a second level shows the first with noise, as residual levels depend on
each other. Given any visible tokens, the exact distribution of every other one follows by the
forward-backward algorithm (Rabiner 1989); its mean log loss is the floor below which no model can
go but by chance.

Shapes: B windows, N sources, P frames, Q levels, K codes.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class SyntheticConfig:
    """A source of synthetic codes.

    Parameters
    ----------
    n_codes
        K, states of the chain and codes of a level.
    n_sources
        N.
    n_levels
        Q, 1 or 2.
    jump
        Chance that the state is drawn anew, from all, at a frame; else it stays.
    noise
        Chance that a source's first level is drawn anew instead of showing the state.
    level_noise
        Chance that the second level is drawn anew instead of showing the first.
    """

    n_codes: int = 4
    n_sources: int = 2
    n_levels: int = 1
    jump: float = 0.2
    noise: float = 0.2
    level_noise: float = 0.2

    def __post_init__(self) -> None:
        if self.n_levels not in (1, 2):
            raise ValueError(f"n_levels must be 1 or 2, got {self.n_levels}")
        for name in ("jump", "noise", "level_noise"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie in [0, 1], got {getattr(self, name)}")


def kept_or_drawn(n_codes: int, chance: float) -> Tensor:
    """Return the probabilities (K, K) of what a code becomes that is drawn anew by a chance."""
    uniform = torch.full((n_codes, n_codes), chance / n_codes, dtype=torch.float64)
    return uniform + (1 - chance) * torch.eye(n_codes, dtype=torch.float64)


def draw_codes(
    cfg: SyntheticConfig, n_windows: int, n_frames: int, *, generator: torch.Generator
) -> Tensor:
    """Draw codes (B, N, P, Q) int64."""

    def drawn_anew(values: Tensor, chance: float) -> Tensor:
        other = torch.randint(cfg.n_codes, values.shape, generator=generator)
        return torch.where(torch.rand(values.shape, generator=generator) < chance, other, values)

    state = torch.randint(cfg.n_codes, (n_windows,), generator=generator)
    states = []
    for _ in range(n_frames):
        states.append(state)
        state = drawn_anew(state, cfg.jump)
    shown = torch.stack(states, dim=1)[:, None].expand(-1, cfg.n_sources, -1)
    levels = [drawn_anew(shown, cfg.noise)]
    if cfg.n_levels == 2:
        levels.append(drawn_anew(levels[0], cfg.level_noise))
    return torch.stack(levels, dim=-1)


def code_probabilities(cfg: SyntheticConfig, codes: Tensor, visible: Tensor) -> Tensor:
    """Return the exact distribution of the first level of hidden tokens.

    Parameters
    ----------
    cfg
        The source.
    codes
        (B, N, P, Q); what stands where nothing is visible does not matter.
    visible
        (B, N, P) true where the codes are known.

    Returns
    -------
    Tensor
        (B, P, K) float64, of any source that is hidden at a frame, given all that is visible.
    """
    emission, step = kept_or_drawn(cfg.n_codes, cfg.noise), kept_or_drawn(cfg.n_codes, cfg.jump)
    # The second level shows the first alone: where both are visible it says nothing more.
    likelihood = torch.where(visible[..., None], emission[:, codes[..., 0]].movedim(0, -1), 1.0)
    evidence = likelihood.prod(1)
    forward, backward = torch.empty_like(evidence), torch.ones_like(evidence)
    message = torch.full_like(evidence[:, 0], 1 / cfg.n_codes)
    for p in range(evidence.shape[1]):
        forward[:, p] = _normalised(message * evidence[:, p])
        message = forward[:, p] @ step
    for p in range(evidence.shape[1] - 2, -1, -1):
        backward[:, p] = _normalised((backward[:, p + 1] * evidence[:, p + 1]) @ step.T)
    return _normalised(forward * backward) @ emission


def floor(
    cfg: SyntheticConfig,
    codes: Tensor,
    chosen: Tensor,
    prediction: Literal["parallel", "conditional"] = "parallel",
) -> Tensor:
    """Return the loss of the best prediction on these tokens, (Q,) nats.

    Parameters
    ----------
    cfg
        The source.
    codes
        (B, N, P, Q).
    chosen
        (B, N, P) true where both levels are hidden and to be predicted.
    prediction
        ``parallel``: the second level without knowing the first; ``conditional``: given it.
    """
    first = code_probabilities(cfg, codes, ~chosen)[:, None].expand(-1, cfg.n_sources, -1, -1)
    first, truth = first[chosen], codes[chosen]
    found = [first.gather(1, truth[:, :1])]
    if cfg.n_levels == 2:
        below = kept_or_drawn(cfg.n_codes, cfg.level_noise)
        second = first @ below if prediction == "parallel" else below[truth[:, 0]]
        found.append(second.gather(1, truth[:, 1:2]))
    return -torch.cat(found, dim=1).log().mean(0)


def _normalised(values: Tensor) -> Tensor:
    return values / values.sum(-1, keepdim=True)
