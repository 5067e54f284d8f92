"""What hidden codes can be guessed from without a model: how frequent they are, and the neighbour.

*Unigram*: always the training side's frequencies. *Copy*: the code of the nearest token in time
that is visible, of the same source and level, ties to the earlier. As a distribution the copy is a
mixture, ``p(c) = (1 - e) [c is the copy] + e u(c)`` with the unigram ``u``. The weight ``e`` of a
level and a distance in time is set so that the copy is right as often as two codes at that distance
agree on the training side: with a share ``m`` of pairs that agree, ``e = (1 - m) / (1 - sum u^2)``,
at most 1. Where nothing of a source is visible, copy is unigram.

Shapes: B windows, N sources, P frames, M tokens, Q levels, K codes a level, L longest distance.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from brainfm.codes import CodeCorpus
from brainfm.level_scores import LevelScores, scores_of_windows
from brainfm.online_codes import OnlineCodes
from brainfm.time_cells import TimeCells, cells_of

MAX_DISTANCE = 64
"""Frames beyond which the distance no longer matters."""

MAX_COUNTED, MAX_COMPUTED = 2**18, 2**12
"""Frames that are looked at: of stored codes enough to know every share to a tenth of a percent, of
codes that are computed at every reading as many as can be waited for."""


def code_stretches(
    codes: CodeCorpus, recordings: Sequence[int], max_frames: int | None = None
) -> Iterator[Tensor]:
    """Yield codes (P, N, Q) of recordings, one frame for each cell.

    If there are more than ``max_frames``, evenly chosen recordings are read, from the start; None
    is as many as can be read soon.
    """
    if max_frames is None:
        max_frames = MAX_COMPUTED if isinstance(codes, OnlineCodes) else MAX_COUNTED
    enough = max(1, max_frames // (4 * MAX_DISTANCE))
    places = np.linspace(0, len(recordings) - 1, min(len(recordings), enough)).round().astype(int)
    for place in places.tolist():
        i = recordings[place]
        n = min(int(codes.n_frames[i]), max_frames // len(places))
        # Frames of one cell show the same samples twice: the first of them stands for all.
        _, first = np.unique(cells_of(0, n, codes.tokenizer), return_index=True)
        yield torch.from_numpy(codes.read(i, 0, n)[first].astype(np.int64))


def count_agreement(stretches: Iterable[Tensor], max_distance: int = MAX_DISTANCE) -> Tensor:
    """Count how often codes agree with those some frames later.

    Parameters
    ----------
    stretches
        (P, N, Q) codes in the order of time, one frame for each cell.
    max_distance
        L.

    Returns
    -------
    Tensor
        (Q + 1, L) int64: pairs that agree at distance 1, 2, ..., for each level, and in the last
        row all pairs there were.
    """
    total: Tensor | None = None
    for codes in stretches:
        counts = torch.zeros(codes.shape[2] + 1, max_distance, dtype=torch.int64)
        for d in range(1, min(max_distance, len(codes) - 1) + 1):
            agree = codes[d:] == codes[:-d]
            counts[:-1, d - 1] = agree.sum((0, 1)).cpu()
            counts[-1, d - 1] = agree.shape[0] * agree.shape[1]
        total = counts if total is None else total + counts
    if total is None:
        raise ValueError("there are no codes to count")
    return total


def copy_weights(agreement: Tensor, unigram: Tensor) -> Tensor:
    """Return the weight of the unigram beside the copy, (Q, L) in (0, 1].

    Parameters
    ----------
    agreement
        (Q + 1, L) of :func:`count_agreement`; one pair is added that agrees by chance.
    unigram
        (Q, K) log probabilities.
    """
    chance = unigram.double().exp().square().sum(1, keepdim=True).clamp_max(1 - 1e-6)
    share = (agreement[:-1] + chance) / (agreement[-1] + 1)
    return ((1 - share) / (1 - chance)).clamp_max(1.0).float()


def nearest_visible(chosen: Tensor, cells: TimeCells | None = None) -> tuple[Tensor, Tensor]:
    """Find the nearest frame in time at which the same source is not hidden.

    Parameters
    ----------
    chosen
        (B, N, P) true where hidden.
    cells
        Of the frames, where windows of the tokenizer overlap.

    Returns
    -------
    frame, distance : Tensor
        (B, N, P) int64: its position, -1 if there is none, and how far it is in cells.
    """
    n_batch, n_sources, n = chosen.shape
    place = torch.arange(n, device=chosen.device)
    cell = place.expand(n_batch, n) if cells is None else cells.cell
    order = cell.argsort(dim=1, stable=True)[:, None, :].expand(-1, n_sources, -1)
    time = cell[:, None, :].expand(-1, n_sources, -1).gather(2, order)
    hidden = chosen.gather(2, order)
    before = torch.where(hidden, -1, place).cummax(2).values
    after = torch.where(hidden, n, place).flip(2).cummin(2).values.flip(2)
    # Further than anything can be, without overflow.
    far = 2 * n
    to_before = torch.where(before < 0, far, time - time.gather(2, before.clamp_min(0)))
    to_after = torch.where(after == n, far, time.gather(2, after.clamp_max(n - 1)) - time)
    nearest = torch.where(to_before <= to_after, before.clamp_min(0), after.clamp_max(n - 1))
    distance = torch.minimum(to_before, to_after)
    frame = torch.where(distance == far, -1, order.gather(2, nearest))
    back = torch.empty_like(order).scatter_(2, order, place.expand_as(order))
    return frame.gather(2, back), distance.gather(2, back)


class CodeBaselines:
    """Both baselines, scored on the same tokens as a model.

    Not a module: engines turn everything in modules into short numbers.

    Parameters
    ----------
    unigram
        (Q, K) log probabilities of codes on the training side.
    agreement
        (Q + 1, L) of :func:`count_agreement` on the training side.
    """

    def __init__(self, unigram: Tensor, agreement: Tensor) -> None:
        self.log_unigram = unigram
        self.weights = copy_weights(agreement, unigram)

    def scores(
        self, codes: Tensor, chosen: Tensor, n_levels: int, cells: TimeCells | None = None
    ) -> dict[str, LevelScores]:
        """Return the scores of ``unigram`` and ``copy``.

        Parameters
        ----------
        codes
            (B, N, P, Q or more) as they are.
        chosen
            (B, N, P) true where hidden.
        n_levels
            Q, levels to score, the first ones.
        cells
            Of the frames, where windows of the tokenizer overlap.
        """
        window, source, frame = chosen.nonzero(as_tuple=True)
        target = codes[window, source, frame, :n_levels].long()
        unigram = self.log_unigram[:n_levels].to(codes.device)
        weights = self.weights[:n_levels].to(codes.device)
        log_u = unigram.T.gather(0, target)
        top = unigram.argmax(1)
        nearest, distance = (value[chosen] for value in nearest_visible(chosen, cells))
        visible = (nearest >= 0)[:, None]
        copied = codes[window, source, nearest.clamp_min(0), :n_levels].long()
        hit = torch.where(visible, copied, top) == target
        row = distance.clamp_max(weights.shape[1]) - 1
        weight = torch.where(visible, weights.T[row], 1.0)
        probability = weight * log_u.exp() + (1 - weight) * (copied == target)
        n_windows = len(codes)
        return {
            "unigram": scores_of_windows(-log_u, top == target, window, n_windows),
            "copy": scores_of_windows(-probability.log(), hit, window, n_windows),
        }
