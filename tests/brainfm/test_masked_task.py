"""The task as the trainer runs it: nothing leaks, nothing depends on the rest of the batch."""

import pytest
import torch

from brainfm.brain_tokenizer import TokenizerConfig
from brainfm.code_baselines import CodeBaselines, count_agreement
from brainfm.code_loader import CodeBatch
from brainfm.masked_model import MaskedBrainModel, MaskedModelConfig
from brainfm.masked_task import MaskedTask
from brainfm.masking import MaskConfig

Q, K, E, N, P = 2, 8, 16, 3, 12


def make(overlap=0.25, **masking):
    cfg = TokenizerConfig(window=128, overlap=overlap, ratios=(32,), n_sources=N)
    generator = torch.Generator().manual_seed(0)
    uniform = torch.full((Q, K), 1 / K).log()
    stretch = torch.randint(K, (50, N, Q), generator=generator)
    baselines = CodeBaselines(uniform, count_agreement([stretch]))
    settings = {"block_frames": 2, "block_sources": 2} | masking
    return MaskedTask(MaskConfig(**settings), cfg, P, baselines)


def model(prediction="parallel"):
    torch.manual_seed(0)
    cfg = MaskedModelConfig(width=24, n_heads=4, depth=2, prediction=prediction)
    return MaskedBrainModel(cfg, torch.randn(Q, K, E), torch.randn(N, E)).eval()


def batch(n=5):
    codes = torch.randint(K, (n, N, P, Q), generator=torch.Generator().manual_seed(1))
    return CodeBatch(codes, torch.arange(n) // 2, 3 * torch.arange(n))


def rows(whole, which):
    return CodeBatch(*(values[which] for values in whole))


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5])
def test_no_hidden_token_can_be_read_off_anything(overlap):
    """Other codes under all masks, those of the same samples in the next window too: same logits.

    No chosen token keeps its codes here; that some do is what 80/10/10 means.
    """
    task, m = make(overlap, mask_share=0.8, random_share=0.2), model()
    given = batch()
    first = task.hide(given, 0, 7)
    other = torch.where(first.masked.chosen[..., None], (given.codes + 3) % K, given.codes)
    second = task.hide(given._replace(codes=other), 0, 7)
    assert torch.equal(first.masked.chosen, second.masked.chosen)
    expected = m(first.masked.codes, first.masked.hidden)
    assert torch.equal(m(second.masked.codes, second.masked.hidden), expected)


def test_samples_of_a_hidden_token_are_shown_nowhere():
    """Frame 3 of each window of four begins where frame 0 of the next does."""
    task = make(0.25, mask_share=0.6, random_share=0.2)
    chosen = task.hide(batch(), 0).masked.chosen
    for row, start in zip(chosen, batch().start.tolist(), strict=True):
        last = [p for p in range(P - 1) if (start + p) % 4 == 3]
        assert len(last) >= 2
        for p in last:
            assert torch.equal(row[:, p], row[:, p + 1])


@pytest.mark.parametrize("prediction", ["parallel", "conditional"])
def test_scores_of_a_window_do_not_depend_on_the_batch(prediction):
    task, m = make(), model(prediction)
    whole = task.scores(m, task.hide(batch(), 0))
    for row in range(5):
        alone = task.scores(m, task.hide(rows(batch(), [row]), 0))
        torch.testing.assert_close(alone.loss, whole.loss[row : row + 1], atol=1e-5, rtol=1e-5)


def test_ranks_and_accumulated_batches_hide_the_same():
    """One process with five windows, or two with three and two of them in another order."""
    task = make()
    whole = task.hide(batch(), 1, 2).masked
    for part in ([4, 0, 2], [3, 1]):
        for a, b in zip(task.hide(rows(batch(), part), 1, 2).masked, whole, strict=True):
            assert torch.equal(a, b[part])


def test_recording_and_first_frame_change_what_is_hidden():
    """Batch and phase alike, each window alone differs from the next."""
    first = rows(batch(), [0, 0, 0])
    windows = first._replace(recording=torch.tensor([0, 1, 0]), start=torch.tensor([0, 0, 4]))
    chosen = make().hide(windows, 0).masked.chosen
    assert not torch.equal(chosen[0], chosen[1])
    assert not torch.equal(chosen[0], chosen[2])


def test_seed_and_step_change_what_is_hidden():
    task = make()
    drawn = [task.hide(batch(), *parts).masked.chosen for parts in ((0, 0), (0, 1), (1, 0))]
    assert not torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_everything_is_named():
    task, m = make(), model()
    found = task.evaluate(m, task.hide(batch(), 0))
    names = {f"{who}{what}" for who in ("", "unigram_", "copy_") for what in ("loss",)}
    names |= {
        f"{who}{what}_{level}"
        for who in ("", "unigram_", "copy_")
        for what in ("loss", "accuracy")
        for level in range(Q)
    }
    assert set(found) == names
    mean = (found["unigram_loss_0"] + found["unigram_loss_1"]) / 2
    torch.testing.assert_close(found["unigram_loss"], mean)
    assert found["unigram_loss_0"].item() == pytest.approx(torch.tensor(8.0).log().item())


def test_spans_are_set_in_seconds():
    """A quarter of a second at 32 samples a frame and 256 Hz is two frames."""
    assert make(kind="spans", block_frames=None, block_s=0.25).masking.frames == 2


def test_work_of_a_batch():
    """Five windows of 12 frames that tell 3 / 4 of 32 samples each; three sources."""
    work = make().work(model(), batch())
    assert work.tokens == 5 * 3 * 12
    assert work.signal_s == pytest.approx(5 * 12 * 0.75 * 32 / 256)
    assert work.flops > 3 * work.tokens * 2 * 20 * 24**2
