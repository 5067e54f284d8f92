"""Encoding models from a few trials: stimulus-response pairs in, weights of a voxel out.

A network that has seen many voxels reads the pairs of a new one as a set (Yu et al. 2025,
arXiv:2505.15813) and guesses weights mu and how much to trust them, lambda. The weights are those
of Bayes' linear regression around that guess,

    w = argmin ||y - X w||^2 + lambda (w - mu)' L (w - mu)

with L learned for all voxels together: few pairs lean on the guess, many decide by themselves, as
in ridge. X has a last column of ones.

Shapes: N trials, n pairs, P features, V voxels, B voxels at once, D width.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from brainfm.atomic import atomic_path
from brainfm.config_json import from_json, to_json
from brainfm.strict_loading import load_strictly

CONFIG_KEY = "in_context_config"
AT_ONCE = 2**22
"""Tokens times pairs of them, at most, in one go."""


@dataclass(frozen=True, kw_only=True)
class InContextConfig:
    """The network and how it is trained.

    Parameters
    ----------
    n_features
        P of the stimuli. Some tens: take principal components of more.
    width, heads, depth
        Of the attention over pairs. Depth 0: no attention, the guess is the same for all voxels (a
        Gaussian prior).
    steps
        Of training.
    voxels
        B in a step.
    least_shots, most_shots
        n of a step, drawn evenly on a logarithmic scale.
    queries
        Further trials of a step that the weights are judged on.
    rate
        Of the first step; it falls to zero as a cosine.
    """

    n_features: int
    width: int = 64
    heads: int = 4
    depth: int = 2
    steps: int = 1500
    voxels: int = 48
    least_shots: int = 2
    most_shots: int = 100
    queries: int = 64
    rate: float = 2e-3

    def __post_init__(self) -> None:
        for name in ("n_features", "width", "heads", "steps", "voxels", "least_shots", "queries"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.width % self.heads or self.depth < 0 or self.rate <= 0:
            raise ValueError(
                "width must be a multiple of heads, depth 0 or more and rate positive, got "
                f"{self.width}, {self.heads}, {self.depth}, {self.rate}"
            )
        if self.most_shots < self.least_shots:
            raise ValueError(
                f"most_shots must be at least least_shots, got {self.most_shots} and "
                f"{self.least_shots}"
            )


class InContextEncoder(nn.Module):
    """From pairs of a voxel to its weights; the order of the pairs does not count."""

    def __init__(self, config: InContextConfig) -> None:
        super().__init__()
        self.config, width = config, config.width
        n_weights = config.n_features + 1
        self.register_buffer("mean", torch.zeros(config.n_features))
        self.register_buffer("size", torch.ones(config.n_features))
        self.guess = nn.Parameter(torch.zeros(n_weights))
        self.log_trust = nn.Parameter(torch.tensor(math.log(10.0)))
        self.root = nn.Parameter(torch.eye(n_weights))
        if config.depth:
            # The product is what a weight is made of; a sum over pairs of it is X'y.
            self.read = nn.Linear(2 * n_weights, width)
            self.summary = nn.Linear(1, width)
            self.blocks = nn.ModuleList(
                nn.TransformerEncoderLayer(
                    width, config.heads, 2 * width, 0.0, "gelu", batch_first=True, norm_first=True
                )
                for _ in range(config.depth)
            )
            self.norm = nn.LayerNorm(width)
            self.out = nn.Linear(width, n_weights + 1)
            nn.init.zeros_(self.out.weight)
            nn.init.zeros_(self.out.bias)

    mean: Tensor
    size: Tensor

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return weights (B, P + 1), the intercept last, of standardised features.

        Parameters
        ----------
        x
            (n, P), standardised.
        y
            (n, B).
        """
        x = torch.cat([x, x.new_ones(len(x), 1)], 1)
        guess, log_trust = self._guessed(x, y)
        precision = self.root.tril() @ self.root.tril().T
        prior = log_trust.exp()[:, None, None] * precision
        right = (x.T @ y).T + (prior @ guess[..., None])[..., 0]
        weights: Tensor = torch.linalg.solve(x.T @ x + prior, right)
        return weights

    def _guessed(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return guesses (B, P + 1) and the logarithm of trust (B,)."""
        n_voxels = y.shape[1]
        guess, trust = self.guess.expand(n_voxels, -1), self.log_trust.expand(n_voxels)
        if not self.config.depth:
            return guess, trust
        pairs = y.T[..., None]
        both = torch.cat([x.expand(n_voxels, -1, -1), x * pairs], -1)
        # Attention takes means: how many pairs there are must be told.
        count = x.new_tensor([[math.log1p(len(x))]])
        first = self.summary(count).expand(n_voxels, 1, -1)
        tokens = torch.cat([first, self.read(both)], 1)
        for block in self.blocks:
            tokens = block(tokens)
        found = self.out(self.norm(tokens[:, 0]))
        return guess + found[:, :-1], trust + found[:, -1]

    @torch.no_grad()
    def weights(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return weights (P, V) and intercepts (V,) for features as they are.

        Parameters
        ----------
        x
            (n, P) features of the stimuli of the pairs.
        y
            (n, V) responses, in the unit of those in training.

        Raises
        ------
        ValueError
            Tables of other sizes, none or not finite.
        """
        _check(x, y, 1)
        if x.shape[1] != self.config.n_features:
            raise ValueError(
                f"the network was trained for {self.config.n_features} features, got {x.shape[1]}"
            )
        scaled = (x.float() - self.mean) / self.size
        at_once = max(1, AT_ONCE // (len(x) + 1) ** 2)
        found = torch.cat([self(scaled, part) for part in y.float().split(at_once, dim=1)])
        weights = found[:, :-1].T / self.size[:, None]
        return weights, found[:, -1] - self.mean @ weights

    @torch.no_grad()
    def predict(self, x: Tensor, y: Tensor, new: Tensor) -> Tensor:
        """Return predicted responses (N, V) to new stimuli (N, P) from pairs."""
        weights, intercept = self.weights(x, y)
        return new.float() @ weights + intercept

    def save(self, path: str | Path) -> None:
        """Write settings and weights as one safetensors file."""
        from safetensors.torch import save_file

        tensors = {name: value.contiguous() for name, value in self.state_dict().items()}
        with atomic_path(path) as temporary:
            save_file(tensors, str(temporary), {CONFIG_KEY: json.dumps(to_json(self.config))})

    @classmethod
    def load(cls, path: str | Path) -> "InContextEncoder":
        """Read what :meth:`save` wrote.

        Raises
        ------
        FileNotFoundError, ValueError
            No such file, or of something else.
        """
        from safetensors import SafetensorError, safe_open

        if not Path(path).is_file():
            raise FileNotFoundError(f"no in-context encoder {path}")
        try:
            with safe_open(str(path), framework="pt") as file:
                said = (file.metadata() or {}).get(CONFIG_KEY)
                state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except SafetensorError as error:
            raise ValueError(f"{path} is no safetensors file: {error}") from error
        if said is None:
            raise ValueError(f"{path} holds no in-context encoder")
        model = cls(from_json(InContextConfig, json.loads(said), str(path)))
        load_strictly(model, state, str(path))
        return model.eval()


def _check(x: Tensor, y: Tensor, least: int) -> None:
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y) or len(x) < least or not y.shape[1]:
        raise ValueError(
            f"features and responses must be tables of the same {least} or more trials, got "
            f"{tuple(x.shape)} and {tuple(y.shape)}"
        )
    if not (torch.isfinite(x).all() and torch.isfinite(y).all()):
        raise ValueError("features or responses hold values that are not finite")


def train_in_context(
    x: Tensor,
    y: Tensor,
    config: InContextConfig,
    *,
    generator: torch.Generator,
    progress: Callable[[int, float], None] | None = None,
) -> InContextEncoder:
    """Train on voxels whose responses are known.

    Every step draws voxels and pairs, and lowers the squared error of further trials.

    Parameters
    ----------
    x
        (N, P) features of the stimuli of all trials.
    y
        (N, V) responses of training voxels, each with a deviation of about one.
    config
        The network; ``most_shots + queries`` at most N.
    generator
        Draws weights, voxels and pairs, on the CPU.
    progress
        Told step and loss.

    Raises
    ------
    ValueError
        Tables that do not fit; fewer trials than a step needs.
    """
    _check(x, y, 2)
    needed = config.most_shots + config.queries
    if x.shape[1] != config.n_features or len(x) < needed:
        raise ValueError(
            f"training needs {config.n_features} features of {needed} trials or more (most_shots + "
            f"queries), got {tuple(x.shape)}"
        )
    x, y = x.float(), y.float()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
        model = InContextEncoder(config)
    model.mean.copy_(x.mean(0))
    model.size.copy_(x.std(0).clamp_min(1e-6))
    scaled = (x - model.mean) / model.size
    optimizer = torch.optim.Adam(model.parameters(), config.rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.steps)
    low, high = math.log(config.least_shots), math.log(config.most_shots)
    for step in range(config.steps):
        n = round(math.exp(low + (high - low) * float(torch.rand((), generator=generator))))
        trials = torch.randperm(len(x), generator=generator)[: n + config.queries]
        voxels = torch.randint(y.shape[1], (config.voxels,), generator=generator)
        drawn = y[trials][:, voxels]
        weights = model(scaled[trials[:n]], drawn[:n])
        predicted = scaled[trials[n:]] @ weights[:, :-1].T + weights[:, -1]
        loss = (predicted - drawn[n:]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if progress is not None:
            progress(step, float(loss.detach()))
    return model.eval().requires_grad_(False)
