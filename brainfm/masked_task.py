"""The task of stage 2: hide tokens of windows of codes, score what is predicted in their place.

Shapes: B batch, N sources, P frames, M tokens to predict, Q quantizers, K codes a level.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from brainfm.brain_tokenizer import TokenizerConfig
from brainfm.code_baselines import CodeBaselines
from brainfm.code_loader import CodeBatch
from brainfm.code_times import seconds_per_frame
from brainfm.level_scores import LevelScores, level_scores
from brainfm.masked_model import MaskedBrainModel
from brainfm.masking import MaskConfig, Masked, mask_codes
from brainfm.model_flops import TRAINING, forward_flops
from brainfm.time_cells import TimeCells, cell_table, look_up_cells
from brainfm.training_speed import BatchWork
from brainfm.window_draws import WindowDraws


class Task(NamedTuple):
    """Windows of codes with some hidden.

    ``codes`` (B, N, P, Q) as they are; ``masked`` as the model gets them; ``cells`` of the frames.
    """

    codes: Tensor
    masked: Masked
    cells: TimeCells | None


class MaskedTask(nn.Module):
    """Hide tokens by what their window is, and score predictions of them.

    Parameters
    ----------
    masking
        What is hidden.
    tokenizer
        Of the codes: how long a frame is, and which frames cover the same samples.
    n_frames
        P.
    baselines
        Guesses without a model.
    """

    def __init__(
        self,
        masking: MaskConfig,
        tokenizer: TokenizerConfig,
        n_frames: int,
        baselines: CodeBaselines,
    ) -> None:
        super().__init__()
        self.masking = masking.in_frames(tokenizer.hop / tokenizer.sfreq)
        self.seconds_per_frame = seconds_per_frame(tokenizer)
        self.baselines = baselines
        self.register_buffer("cells", cell_table(n_frames, tokenizer), persistent=False)
        self.cells: Tensor

    def hide(self, batch: CodeBatch, *parts: int) -> Task:
        """Hide tokens of a batch.

        The same parts (seed, step) hide the same tokens of a window, which recording and first
        frame tell from others, on any number of ranks and in any batch. Two batches of one
        optimizer step differ by their windows alone: an epoch holds no window twice.
        """
        draws = WindowDraws(*parts, windows=(batch.recording, batch.start))
        cells = look_up_cells(self.cells, batch.start)
        masked = mask_codes(batch.codes, self.masking, generator=draws, cells=cells)
        return Task(batch.codes, masked, cells)

    def scores(self, model: MaskedBrainModel, task: Task) -> LevelScores:
        """Return how well the model predicts what is hidden."""
        n_windows, n_sources, n_frames, _ = task.codes.shape
        at = task.masked.chosen.flatten().nonzero().squeeze(1)
        truth = task.codes.flatten(0, 2)[at].long()
        logits = model(task.masked.codes, task.masked.hidden, at=at, truth=truth)
        window = torch.div(at, n_sources * n_frames, rounding_mode="floor")
        return level_scores(logits, truth[:, : logits.shape[1]], window, n_windows)

    def evaluate(self, model: MaskedBrainModel, task: Task) -> dict[str, Tensor]:
        """Return loss and accuracy of each level and the mean loss, of the model and of guesses.

        Named ``loss``, ``loss_0``, ``accuracy_0``, with ``unigram_`` or ``copy_`` before it for
        those (:mod:`brainfm.code_baselines`).
        """
        guesses = self.baselines.scores(
            task.codes, task.masked.chosen, model.n_predicted, task.cells
        )
        found: dict[str, Tensor] = {}
        named = {f"{name}_": scores for name, scores in guesses.items()}
        for prefix, scores in {"": self.scores(model, task), **named}.items():
            found |= {f"{prefix}loss": scores.loss.mean(), **scores.named(prefix)}
        return found

    def work(self, model: MaskedBrainModel, batch: CodeBatch) -> BatchWork:
        """Return what a training step on a batch amounts to."""
        n_windows, n_sources, n_frames, n_quantizers = batch.codes.shape
        flops = forward_flops(
            model.cfg,
            n_sources=n_sources,
            n_frames=n_frames,
            n_quantizers=n_quantizers,
            codebook_size=model.codebook_size,
            code_dim=model.codebooks.shape[2],
            predicted_share=self.masking.ratio,
        )
        tokens = n_windows * n_sources * n_frames
        signal_s = n_windows * n_frames * self.seconds_per_frame
        return BatchWork(tokens, signal_s, TRAINING * tokens * flops)
