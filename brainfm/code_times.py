"""Where latent frames lie in time.

Shapes: W windows, P frames a window.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from brainfm.brain_tokenizer import TokenizerConfig


def n_windows(n_times: int, length: int, stride: int) -> int:
    """Return the windows of ``length`` samples every ``stride`` that cover ``n_times`` samples.

    The last may reach past the end.
    """
    return max(1, math.ceil((n_times - length) / stride) + 1)


def n_frames(n_times: int, cfg: "TokenizerConfig") -> int:
    """Return the latent frames of ``n_times`` samples that begin before the end."""
    last = n_windows(n_times, cfg.window, cfg.stride) - 1
    rest = n_times - last * cfg.stride
    return last * cfg.frames_per_window + min(cfg.frames_per_window, math.ceil(rest / cfg.hop))


def frame_times(first: int, stop: int, cfg: "TokenizerConfig") -> NDArray[np.float64]:
    """Return the centres of frames ``first`` to ``stop``, (stop - first,) seconds.

    Frames are numbered window after window; overlapping windows cover the same time twice.
    """
    window, within = np.divmod(np.arange(first, stop), cfg.frames_per_window)
    return (window * cfg.stride + (within + 0.5) * cfg.hop) / cfg.sfreq


def seconds_per_frame(cfg: "TokenizerConfig") -> float:
    """Return the seconds of signal that one more frame stands for.

    Where windows overlap, the frames of one tell less that is new than they are long.
    """
    return cfg.stride / cfg.frames_per_window / cfg.sfreq


def context_frames(training: Mapping[str, Any], frames_per_window: int) -> int:
    """Return the frames the masked model was trained on at once, in whole windows."""
    frames = int(training.get("context_frames", 15 * frames_per_window))
    return max(1, frames // frames_per_window) * frames_per_window
