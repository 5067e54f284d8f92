"""How codes are used, and when which code is on: statistics and pictures.

Shapes: P frames, N sources, Q levels, K codes a level, E width of a code.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from brainfm.code_times import frame_times
from brainfm.codes import CodeCorpus
from brainfm.report_page import html_table
from brainfm.report_style import CODE_MAP, QUIET, level_colours, new_figure
from brainfm.token_statistics import code_counts, perplexity

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_COUNTED = 64
TIMELINE_LEVELS = 2


def count_codes(codes: CodeCorpus, max_recordings: int = MAX_COUNTED) -> tuple[torch.Tensor, int]:
    """Count how often each code occurs in evenly chosen recordings.

    Returns
    -------
    counts : Tensor
        (Q, K).
    n_recordings : int
        Recordings that were read.
    """
    size = codes.tokenizer.quantizer.codebook_size
    counts = torch.zeros(codes.token_shape[1], size, dtype=torch.int64)
    wanted = min(len(codes), max_recordings)
    for i in np.linspace(0, len(codes) - 1, wanted).round().astype(int):
        counts += code_counts(torch.from_numpy(codes.read(int(i)).astype(np.int64)), size)
    return counts, wanted


def usage_numbers(counts: torch.Tensor) -> list[dict[str, float]]:
    """Return share used, perplexity and bits of every level of counts (Q, K)."""
    effective = perplexity(counts)
    return [
        {
            "share_used": float((row > 0).float().mean()),
            "perplexity": float(e),
            "bits": float(e.log2()),
            "max_bits": float(np.log2(counts.shape[1])),
        }
        for row, e in zip(counts, effective, strict=True)
    ]


def usage_table(levels: Sequence[Mapping[str, float]], codebook_size: int) -> str:
    """Return what :func:`usage_numbers` found as HTML."""
    rows = [
        (
            str(level),
            f"{100 * entry['share_used']:.1f} %",
            f"{entry['perplexity']:.0f} of {codebook_size}",
            f"{entry['bits']:.2f} of {entry['max_bits']:.2f}",
        )
        for level, entry in enumerate(levels, start=1)
    ]
    return html_table(("level", "codes in use", "perplexity", "entropy (bits)"), rows)


def usage_figure(counts: torch.Tensor) -> "Figure":
    """Draw how often the codes of each level occur, most frequent first; counts (Q, K)."""
    n_levels, size = counts.shape
    with new_figure(3.6) as figure:
        axes = figure.add_subplot()
        share = counts.double() / counts.sum(1, keepdim=True).clamp_min(1)
        ranked = share.sort(1, descending=True).values.numpy()
        for level, (row, colour) in enumerate(zip(ranked, level_colours(n_levels), strict=True)):
            used = row > 0
            ranks = np.arange(1, size + 1)[used]
            axes.plot(ranks, 100 * row[used], color=colour, label=f"level {level + 1}", lw=1.6)
        axes.axhline(100 / size, color=QUIET, ls="--", lw=1)
        axes.text(size, 105 / size, "all alike", ha="right", va="bottom", color="#666666")
        axes.set_yscale("log")
        axes.set_xlim(0, size * 1.005)
        axes.set_xlabel("rank of the code (most frequent first)")
        axes.set_ylabel("share of tokens (%)")
        axes.legend(loc="upper right", ncols=2)
    return figure


def code_order(codebook: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return a place in [0, 1] for each code of (K, E): its rank along the main axis of them all.

    The axis is the first principal component, its largest weight positive; codes that mean similar
    vectors get similar places.
    """
    centred = codebook.astype(np.float64) - codebook.mean(0, dtype=np.float64)
    axis = np.linalg.svd(centred, full_matrices=False)[2][0]
    axis *= np.sign(axis[np.abs(axis).argmax()])
    rank = np.argsort(np.argsort(centred @ axis, kind="stable"), kind="stable")
    return rank / max(1, len(codebook) - 1)


def once_covered(codes: CodeCorpus, first: int, stop: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return which frames of a range come first at their time, and their begins in seconds."""
    cfg = codes.tokenizer
    within = np.arange(first, stop) % cfg.frames_per_window
    kept = within * cfg.hop < cfg.stride
    return kept, frame_times(first, stop, cfg)[kept] - 0.5 * cfg.hop / cfg.sfreq


def timeline_figure(
    codes: CodeCorpus, index: int, codebooks: NDArray[np.float32], seconds: float
) -> "Figure":
    """Draw the codes of the first ``seconds`` of a recording, sources x time, the first levels.

    ``codebooks`` is (Q, K, E).
    """
    cfg = codes.tokenizer
    wanted = int(seconds * cfg.sfreq / cfg.stride) * cfg.frames_per_window
    stop = min(int(codes.n_frames[index]), max(cfg.frames_per_window, wanted))
    kept, begins = once_covered(codes, 0, stop)
    values = codes.read(index, 0, stop)[kept]
    levels = range(min(TIMELINE_LEVELS, values.shape[2]))
    end = begins[-1] + cfg.hop / cfg.sfreq
    with new_figure(0.7 + 2.5 * len(levels)) as figure:
        panels: Any = figure.subplots(len(levels), 1, sharex=True, squeeze=False)[:, 0]
        for level, axes in zip(levels, panels, strict=True):
            places = code_order(codebooks[level])[values[:, :, level]]
            image = axes.imshow(
                places.T,
                aspect="auto",
                interpolation="nearest",
                cmap=CODE_MAP,
                vmin=0,
                vmax=1,
                extent=(begins[0], end, values.shape[1] + 0.5, 0.5),
            )
            axes.set_title(f"level {level + 1}")
            axes.set_ylabel("latent source")
        panels[-1].set_xlabel("time in the recording (s)")
        bar = figure.colorbar(image, ax=list(panels), fraction=0.025, pad=0.015)
        bar.set_label("code, by the first principal\ncomponent of its vector")
        bar.set_ticks([0, 1], labels=["first", "last"])
    return figure
