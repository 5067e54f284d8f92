"""What the encoder sees of a batch in training, for both objectives."""

import pytest
import torch

from brainfm.augmentation import NO_AUGMENTATION, AugmentationConfig
from brainfm.batches import Batch
from brainfm.brain_tokenizer import BrainTokenizer
from brainfm.objective import RECIPES
from brainfm.training_view import reconstruct_batch, training_view


@pytest.fixture
def batch():
    torch.manual_seed(0)
    mask = torch.ones(6, 8, dtype=torch.bool)
    mask[3:, 6:] = False
    return Batch(
        x=torch.randn(6, 8, 256) * mask[..., None],
        positions=0.1 * torch.randn(6, 8, 3) * mask[..., None],
        orientations=torch.zeros(6, 8, 3),
        types=torch.zeros(6, 8, dtype=torch.int64),
        mask=mask,
        scale=torch.ones(6, 8),
        lowpass=torch.full((6,), 96.0),
        recording=torch.arange(6),
        start=torch.zeros(6, dtype=torch.int64),
    )


def view_of(batch, name, augmentation=NO_AUGMENTATION, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return training_view(batch, augmentation, 0.25, RECIPES[name], generator=generator)


def test_ours_hides_per_sample_and_adds_nothing(batch):
    view = view_of(batch, "brainfm")
    assert view.x is view.batch.x
    assert torch.equal(view.x, batch.x)
    assert view.seen.sum(1).tolist() == [6, 6, 6, 5, 5, 5]  # of 8 and of 6, a quarter hidden
    assert len({tuple(row) for row in view.seen[:3].tolist()}) > 1


def test_published_hides_per_batch_and_adds_noise(batch):
    view = view_of(batch, "brainomni")
    assert torch.equal(view.batch.x, batch.x)  # what is wanted stays clean
    # 12,288 draws: standard error of the deviation is .1 / sqrt(24,576).
    assert (view.x - batch.x).std().item() == pytest.approx(0.1, abs=0.004)
    assert (view.seen[:3] == view.seen[0]).all()
    assert view.seen[0].sum() == 6


def test_broken_samples_are_silent_and_known(batch):
    x = batch.x.clone()
    x[2, 1, 7] = torch.nan
    view = view_of(batch._replace(x=x), "brainfm")
    assert view.broken.tolist() == [False, False, True, False, False, False]
    assert not view.batch.x[2].any()
    assert torch.equal(view.batch.x[3], batch.x[3])


def test_arrays_vary_where_asked(batch):
    view = view_of(batch, "brainfm", AugmentationConfig(drop_channels=0.5, rotation_deg=5))
    assert not torch.equal(view.batch.positions, batch.positions)
    assert view.batch.mask.sum() < batch.mask.sum()
    assert not (view.seen & ~view.batch.mask).any()


def test_hidden_channels_are_reconstructed_but_not_seen(batch, tokenizer_config):
    torch.manual_seed(0)
    tokenizer = BrainTokenizer(tokenizer_config()).eval()
    seen = batch.mask.clone()
    seen[:, 0] = False
    before = reconstruct_batch(tokenizer, batch, quantize=False, seen=seen)
    x = batch.x.clone()
    x[:, 0] += 5.0
    after = reconstruct_batch(tokenizer, batch, quantize=False, seen=seen, x=x)
    assert before.waveform.shape == (6, 8, 2, 128)
    torch.testing.assert_close(after.waveform, before.waveform)
    all_seen = reconstruct_batch(tokenizer, batch, quantize=False, x=x)
    assert not torch.allclose(all_seen.waveform, before.waveform)
