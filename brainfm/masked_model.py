"""Masked transformer over codes: attention crosses time and latent sources.

BrainOmni (arXiv:2505.18185), section 3.3.

Shapes: B batch, N sources, P frames, M some of the B x N x P tokens, Q quantizers, K codes a level,
D width, E width of a code.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from brainfm.codebook_head import CodebookHead
from brainfm.criss_cross import CrissCrossBlock
from brainfm.layer_mixture import LayerMixture
from brainfm.level_conditional import LevelConditionalHead, pick_codes
from brainfm.rotary import RotaryKind, rotary_table


@dataclass(frozen=True, kw_only=True)
class MaskedModelConfig:
    """Architecture of the masked model. Sizes of the codes come from the tokenizer.

    Parameters
    ----------
    architecture
        ``brainfm``; or ``brainomni``, the published function with its accidents: halves of the
        features swap places, code vectors are ten times smaller than the names of sources they are
        added to, and the head knows nothing of the codes it predicts.
    prediction
        ``parallel``: all levels of a token at once, from its features (published;
        :mod:`brainfm.codebook_head`);
        ``conditional``: each level given the codes of the levels below it
        (:mod:`brainfm.level_conditional`).
    width
        D, features of a token.
    n_heads
        Heads of a block; half of them attend over time, half over sources.
    depth
        Blocks.
    dropout
        Of attention weights and feed-forward, in [0, 1); off in eval.
    rotary
        How positions in time enter, see :func:`brainfm.rotary.rotary_table`. None is what the
        architecture has: ``per_head`` (brainfm), ``ladder`` (brainomni).
    swap_halves
        Concatenate the halves in the order source, time, so that they swap places in every block.
        None is what the architecture has: false (brainfm), true (brainomni).
    predicted_levels
        Levels of codes that the head predicts, the first ones; None is all.
    """

    architecture: Literal["brainfm", "brainomni"] = "brainfm"
    prediction: Literal["parallel", "conditional"] = "parallel"
    width: int = 256
    n_heads: int = 8
    depth: int = 12
    dropout: float = 0.0
    rotary: RotaryKind | None = None
    swap_halves: bool | None = None
    predicted_levels: int | None = None

    def __post_init__(self) -> None:
        if self.n_heads % 2 or self.width % (2 * self.n_heads):
            raise ValueError(
                f"n_heads must be even and width a multiple of twice n_heads, got "
                f"n_heads={self.n_heads}, width={self.width}"
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must lie in [0, 1), got {self.dropout}")
        if self.predicted_levels is not None and self.predicted_levels < 1:
            raise ValueError(f"predicted_levels must be at least 1, got {self.predicted_levels}")
        if self.depth < 1:
            raise ValueError(f"depth must be at least 1, got {self.depth}")

    @property
    def rotary_kind(self) -> RotaryKind:
        """Return how positions enter."""
        if self.rotary is not None:
            return self.rotary
        return "ladder" if self.architecture == "brainomni" else "per_head"

    @property
    def swaps_halves(self) -> bool:
        """Tell whether the halves swap places in every block."""
        if self.swap_halves is not None:
            return self.swap_halves
        return self.architecture == "brainomni"


class MaskedBrainModel(nn.Module):
    """Predict hidden codes from the others.

    Parameters
    ----------
    cfg
        Architecture.
    codebooks
        (Q, K, E) code vectors of the tokenizer; not trained and not saved here.
    sources
        (N, E) the tokenizer's source queries, which name the sources; likewise.
    """

    def __init__(self, cfg: MaskedModelConfig, codebooks: Tensor, sources: Tensor) -> None:
        super().__init__()
        self.cfg = cfg
        self.n_quantizers, self.codebook_size, code_dim = codebooks.shape
        self.n_predicted = cfg.predicted_levels or self.n_quantizers
        if self.n_predicted > self.n_quantizers:
            raise ValueError(
                f"predicted_levels is {self.n_predicted}, the tokenizer has {self.n_quantizers}"
            )
        self.register_buffer("codebooks", codebooks.detach().clone(), persistent=False)
        self.register_buffer("sources", sources.detach().clone(), persistent=False)
        self.codebooks: Tensor
        self.sources: Tensor
        self.mask_token = nn.Parameter(torch.randn(code_dim) / code_dim**0.5)
        self.project: nn.Module = (
            nn.Identity() if code_dim == cfg.width else nn.Linear(code_dim, cfg.width)
        )
        self.blocks = nn.ModuleList(
            CrissCrossBlock(cfg.width, cfg.n_heads, dropout=cfg.dropout, swap=cfg.swaps_halves)
            for _ in range(cfg.depth)
        )
        sizes = cfg.width, code_dim, self.n_predicted, self.codebook_size
        self.head: nn.Linear | CodebookHead | LevelConditionalHead
        if cfg.prediction == "conditional":
            self.head = LevelConditionalHead(*sizes)
        elif cfg.architecture == "brainfm":
            self.head = CodebookHead(*sizes)
        else:
            self.head = nn.Linear(cfg.width, self.n_predicted * self.codebook_size)
        # Code vectors are short, no longer than one; names of sources have a mean square of one.
        self.code_scale = 1.0 if cfg.architecture == "brainomni" else code_dim**0.5
        self.activation_checkpointing = False
        self.own_sources = False

    def share(self, codebooks: Tensor, sources: Tensor) -> None:
        """Take the tokenizer's codebooks and, unless it has its own, names of sources."""
        self.codebooks.copy_(codebooks)
        if not self.own_sources:
            self.sources.copy_(sources.detach())

    def keep_sources(self) -> None:
        """Go on naming sources as now, whatever becomes of the tokenizer; the names are saved."""
        self.own_sources = True
        self.register_buffer("sources", self.sources, persistent=True)

    def compile_blocks(self, backend: str | Callable[..., Any] = "inductor") -> None:
        """Let the blocks compile themselves at their first call; names of weights stay.

        In place and block by block: engines that shard weights hook into modules and refuse
        ``torch.compile``'s wrapper, and blocks are alike, so that one compilation serves all.
        ``backend`` is that of ``torch.compile``.
        """
        for block in self.blocks:
            block.compile(backend=backend)

    def embed_codes(self, codes: Tensor) -> Tensor:
        """Return the sum of the code vectors (..., E) of codes (..., Q)."""
        offset = torch.arange(self.n_quantizers, device=codes.device) * self.codebook_size
        table = self.codebooks.flatten(0, 1)
        if torch.compiler.is_compiling():
            # Other runtimes have no bags but loops over them.
            return table[codes.long() + offset].sum(-2)
        return F.embedding_bag((codes.long() + offset).flatten(0, -2), table, mode="sum").unflatten(
            0, codes.shape[:-1]
        )

    def embed(self, vectors: Tensor, hidden: Tensor | None = None) -> Tensor:
        """Turn code vectors (B, N, P, E) into tokens (B, N, P, D).

        ``hidden`` (B, N, P) is true where the vector is replaced by the mask token.
        """
        if hidden is not None:
            vectors = torch.where(hidden.unsqueeze(-1), self.mask_token.to(vectors), vectors)
        tokens = self.project(self.code_scale * vectors + self.sources[:, None, :].to(vectors))
        # Under autocast the projection's result is short; sums over many blocks must not be.
        return tokens.to(self.mask_token.dtype)

    def layers(self, x: Tensor) -> Iterator[Tensor]:
        """Yield tokens (B, N, P, D), then what each block makes of them."""
        half_heads = self.cfg.n_heads // 2
        head_dim = self.cfg.width // self.cfg.n_heads
        rotary = rotary_table(
            x.shape[2], half_heads, head_dim, self.cfg.rotary_kind, device=x.device
        )
        yield x
        for block in self.blocks:
            if self.activation_checkpointing and self.training:
                x = checkpoint(block, x, rotary, use_reentrant=False)
            else:
                x = block(x, rotary)
            yield x

    def forward(
        self,
        codes: Tensor,
        hidden: Tensor | None = None,
        *,
        at: Tensor | None = None,
        truth: Tensor | None = None,
    ) -> Tensor:
        """Return logits of every level.

        Parameters
        ----------
        codes
            (B, N, P, Q); what stands where ``hidden`` is true does not matter.
        hidden
            (B, N, P), true where a token is masked.
        at
            (M,) the tokens that are wanted, as positions in the flattened (B, N, P); None is all.
            The head is a good part of the work, and half of its results are seldom needed.
        truth
            (M, Q) or (B, N, P, Q) the tokens' true codes, from which conditional prediction takes
            the lower levels; parallel prediction does without.

        Returns
        -------
        Tensor
            (M, Q, K) or (B, N, P, Q, K), of the predicted levels.
        """
        x = self._last_state(codes, hidden, at)
        if not isinstance(self.head, LevelConditionalHead):
            return self._parallel(x)
        if truth is None:
            raise ValueError(
                "conditional prediction needs the true codes (truth=) for logits; predict() does "
                "without"
            )
        return self.head(x, truth, self.codebooks)

    def predict(
        self,
        codes: Tensor,
        hidden: Tensor | None = None,
        *,
        at: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Return predicted codes, (M, Q) or (B, N, P, Q), without knowing the true ones.

        Arguments are those of :meth:`forward`. The most probable code of every level is taken; with
        a generator one is drawn by its probability, conditional prediction level after level.
        """
        x = self._last_state(codes, hidden, at)
        if not isinstance(self.head, LevelConditionalHead):
            return pick_codes(self._parallel(x), generator)
        return self.head.predict(x, self.codebooks, generator=generator)

    def features(
        self, codes: Tensor, layer: int | Literal["mixture"] | LayerMixture = -2
    ) -> Tensor:
        """Return features (B, N, P, D) of unit length of codes (B, N, P, Q).

        Parameters
        ----------
        codes
            (B, N, P, Q).
        layer
            0 is the input of the first block, ``depth`` (or -1) the output of the last; -2, the
            published choice, the output of all blocks but the last. ``mixture`` is the mean of all
            of these; a :class:`~brainfm.layer_mixture.LayerMixture` of ``depth + 1`` layers, which
            a head trains with itself, a weighted one.
        """
        start = self.embed(self.embed_codes(codes))
        n_states = len(self.blocks) + 1
        if isinstance(layer, int):
            if not -n_states <= layer < n_states:
                raise ValueError(
                    f"layer must lie in [{-n_states}, {n_states - 1}] for {len(self.blocks)} "
                    f"blocks, got {layer}"
                )
            return F.normalize(next(islice(self.layers(start), layer % n_states, None)), dim=-1)
        mixture = LayerMixture(n_states).to(start) if layer == "mixture" else layer
        if not isinstance(mixture, LayerMixture):
            raise ValueError(f"layer must be a number, 'mixture' or a LayerMixture, got {layer!r}")
        return mixture(list(self.layers(start)))

    def _parallel(self, x: Tensor) -> Tensor:
        """Return logits (..., Q, K) of features (..., D)."""
        if isinstance(self.head, CodebookHead):
            return self.head(x, self.codebooks)
        return rearrange(self.head(x), "... (q k) -> ... q k", q=self.n_predicted)

    def _last_state(self, codes: Tensor, hidden: Tensor | None, at: Tensor | None) -> Tensor:
        # All layers but the last are let go as soon as the next is there.
        (x,) = deque(self.layers(self.embed(self.embed_codes(codes), hidden)), maxlen=1)
        return x if at is None else x.flatten(0, 2)[at]
