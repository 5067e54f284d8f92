"""Floating-point operations of the masked model, for its share of what a device can do.

Counted are matrix products, two operations for each multiply-add. For one token of a window of N
sources and P frames, with width D, E numbers in a code vector, L blocks, Q levels of K codes and a
share r of tokens that are predicted, a forward pass takes

    2 E D  (projection, where E is not D)
    + L (4 D^2  (queries, keys, values and output, two attentions on half the width)
         + 16 D^2  (feed-forward, four times as wide)
         + 2 D (P + N))  (scores and sums of both attentions)
    + 2 r H  (head: H = Q E (D + K) in parallel, Q D K as published;
              D K + (Q - 1) ((D + E) D + D K) level by level)

and a training step three times that: the backward pass has a product for the inputs and one for the
weights (codes are no weights: their products, a few percent, count once too often). What activation
checkpointing computes twice counts once, as it is no use by itself.
"""

from brainfm.masked_model import MaskedModelConfig


def forward_flops(
    cfg: MaskedModelConfig,
    *,
    n_sources: int,
    n_frames: int,
    code_dim: int,
    n_quantizers: int,
    codebook_size: int,
    predicted_share: float,
) -> float:
    """Return the operations of a forward pass for each token."""
    width, levels = cfg.width, cfg.predicted_levels or n_quantizers
    project = 0 if code_dim == width else 2 * code_dim * width
    block = 20 * width**2 + 2 * width * (n_frames + n_sources)
    if cfg.prediction == "parallel":
        ours = levels * code_dim * (width + codebook_size)
        head = ours if cfg.architecture == "brainfm" else width * levels * codebook_size
    else:
        head = width * codebook_size
        head += (levels - 1) * ((width + code_dim) * width + width * codebook_size)
    return project + cfg.depth * block + 2 * predicted_share * head


TRAINING = 3
"""Forward passes that a training step is worth."""
