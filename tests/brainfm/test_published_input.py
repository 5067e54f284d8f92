"""The published preprocessing: against its steps written down plainly, and numbers made by hand."""

import numpy as np
import pytest
import torch

from brainfm.published_input import published_kinds, published_positions, published_signal

TABLE = {"eeg": 0, "mag": 1, "planar": 2, "axial": 2}


def plain_signal(x, kinds, epsilon=(1e-5, 1e-13, 1e-13)):
    """Return a segment (C, T) in SI units standardised kind by kind, one step after another."""
    out = np.zeros_like(x)
    for kind in range(3):
        rows = [c for c in range(len(x)) if kinds[c] == kind]
        if not rows:
            continue
        referenced = [x[c] - sum(x[r] for r in rows) / len(rows) for c in rows]
        values = np.concatenate(referenced)
        deviation = (((values - values.mean()) ** 2).sum() / len(values)) ** 0.5
        for c, signal in zip(rows, referenced, strict=True):
            out[c] = signal / (deviation + epsilon[kind])
    return out


def plain_positions(positions, kinds):
    out = np.zeros_like(positions)
    for rows in ([k == 0 for k in kinds], [k > 0 for k in kinds]):
        if any(rows):
            centred = positions[rows] - positions[rows].mean(axis=0)
            squares = [r[0] ** 2 + r[1] ** 2 + r[2] ** 2 for r in centred]
            out[rows] = centred / (3 * sum(squares) / len(squares)) ** 0.5
    return out


def test_numbers_made_by_hand():
    """Two electrodes of +-30 uV: no mean, a deviation of 30 uV, and 10 uV more: 30 / 40."""
    x = torch.tensor([[[3.0, -3.0], [-3.0, 3.0]]])
    kinds, mask = torch.zeros(1, 2, dtype=torch.int64), torch.ones(1, 2, dtype=torch.bool)
    found = published_signal(x, kinds, mask, torch.full((1, 2), 1e-5))
    torch.testing.assert_close(found, torch.tensor([[[0.75, -0.75], [-0.75, 0.75]]]))
    positions = torch.tensor([[[0.0, 0.0, 0.0], [0.2, 0.0, 0.0]]])
    # 0.1 m on either side of the centre: sqrt(3 * 0.01).
    expected = 0.1 / 0.03**0.5
    found = published_positions(positions, kinds, mask)
    torch.testing.assert_close(found[0, :, 0], torch.tensor([-expected, expected]))


@pytest.fixture
def array():
    rng = np.random.default_rng(0)
    codes = torch.tensor([[0, 1, 2, 0, 3, 1, 0, 2]])
    scale = torch.from_numpy(rng.uniform(0.5, 2, (1, 8)))
    scale *= torch.tensor([1e-5, 1e-12, 1e-11, 1e-11]).double()[codes]
    x = torch.from_numpy(rng.standard_normal((1, 8, 500)) + rng.standard_normal((1, 8, 1)))
    return x, torch.from_numpy(0.1 * rng.standard_normal((1, 8, 3))), codes, scale


def test_the_steps_written_down_plainly(array):
    x, positions, codes, scale = array
    kinds, mask = published_kinds(codes, TABLE), torch.ones_like(codes, dtype=torch.bool)
    assert kinds.tolist() == [[0, 1, 2, 0, 2, 1, 0, 2]]
    expected = plain_signal((x * scale[..., None])[0].numpy(), kinds[0].tolist())
    found = published_signal(x, kinds, mask, scale)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found[0].numpy(), expected, rtol=1e-6, atol=1e-7)
    expected = plain_positions(positions[0].numpy(), kinds[0].tolist())
    found = published_positions(positions, kinds, mask)
    np.testing.assert_allclose(found[0].numpy(), expected, rtol=1e-12)


def test_padding_bad_channels_and_company_change_nothing(array):
    x, positions, codes, scale = array
    kinds, mask = published_kinds(codes, TABLE), torch.ones_like(codes, dtype=torch.bool)
    alone = published_signal(x, kinds, mask, scale), published_positions(positions, kinds, mask)
    wide = [torch.cat([v, 7 * torch.ones_like(v[:, :2])], dim=1) for v in (x, positions, scale)]
    wide_kinds = torch.cat([kinds, torch.zeros(1, 2, dtype=torch.int64)], dim=1)
    wide_mask = torch.cat([mask, torch.zeros(1, 2, dtype=torch.bool)], dim=1)
    both = [torch.cat([v, v.flip(1)]) for v in (*wide, wide_kinds, wide_mask)]
    together = (
        published_signal(both[0], both[3], both[4], both[2]),
        published_positions(both[1], both[3], both[4]),
    )
    for one, many in zip(alone, together, strict=True):
        torch.testing.assert_close(many[:1, :8], one)
        assert not many[:1, 8:].any()
        torch.testing.assert_close(many[1:].flip(1)[:, :8], one)


def test_the_place_and_size_of_an_array_do_not_matter(array):
    _, positions, codes, _ = array
    kinds, mask = published_kinds(codes, TABLE), torch.ones_like(codes, dtype=torch.bool)
    moved = 1000 * (positions + torch.tensor([0.01, -0.02, 0.04]))
    torch.testing.assert_close(
        published_positions(moved, kinds, mask), published_positions(positions, kinds, mask)
    )


def test_a_single_sensor_is_silent_and_at_the_centre():
    kinds, mask = torch.tensor([[1]]), torch.ones(1, 1, dtype=torch.bool)
    found = published_signal(torch.randn(1, 1, 9), kinds, mask, torch.full((1, 1), 1e-12))
    assert not found.any()
    assert not published_positions(torch.ones(1, 1, 3), kinds, mask).any()
