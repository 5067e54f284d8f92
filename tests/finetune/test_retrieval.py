"""Retrieval: what is compared with what, by hand; copies, rivals, time."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from brainfm.finetune.backbone import FeatureShape
from brainfm.finetune.retrieval import ContrastConfig, Retrieval
from brainfm.finetune.standardisation import moments
from brainfm.finetune.targets import Targets
from brainfm.finetune.trial_batch import TrialBatch

from brainfm.batches import Batch

SHAPE = FeatureShape(6, 3, 5)


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def batch_of(target, rivals=None) -> TrialBatch:
    target = torch.as_tensor(target)
    n = len(target)
    zeros = torch.zeros(n, dtype=torch.int64)
    rivals = torch.zeros(n, 0, dtype=torch.int64) if rivals is None else torch.as_tensor(rivals)
    signal = Batch(*(torch.zeros(n, 0) for _ in Batch._fields))
    return TrialBatch(signal, None, zeros, target, rivals, zeros, zeros.float(), torch.arange(n))


def built(values, rivals=None, training=None, **settings) -> Retrieval:
    torch.manual_seed(0)
    head = Retrieval(ContrastConfig(**settings))
    rows = np.arange(len(values))
    ids = np.array([f"sound {k}" for k in rows])
    targets = Targets(ids=ids, rows=rows, values=np.asarray(values), rivals=rivals)
    head.build(SHAPE, targets, training=rows if training is None else training)
    return head


def test_one_sided_by_hand() -> None:
    # Queries as they are, candidates at unit length, no temperature.
    head = built([[3.0, 0.0], [0.0, 5.0]], standardise=False)
    queries = torch.tensor([[2.0, 1.0], [0.0, 4.0]])
    expected = (math.log1p(math.exp(1 - 2)) + math.log1p(math.exp(-4))) / 2
    assert head.loss(queries, batch_of([0, 1])).item() == pytest.approx(expected, rel=1e-5)


def test_a_learned_scale_compares_directions_only() -> None:
    head = built(drawn(4, 3), loss="clip")
    queries, batch = drawn(4, 3, seed=1), batch_of([0, 1, 2, 3])
    assert torch.allclose(head.loss(queries, batch), head.loss(7 * queries, batch), atol=1e-5)
    near = F.normalize(queries, dim=1) @ F.normalize(head.gallery(torch.arange(4)), dim=1).T / 0.07
    rows, columns = (F.cross_entropy(s, torch.arange(4)) for s in (near, near.T))
    assert torch.allclose(head.loss(queries, batch), (rows + columns) / 2, atol=1e-5)


@pytest.mark.parametrize("loss", ["clip_one_sided", "dsiglip"])
def test_how_often_the_batch_shows_other_contents_is_of_no_matter(loss) -> None:
    head, queries = built(drawn(4, 3), loss=loss), drawn(4, 3, seed=1)
    once = head.loss(queries[:2], batch_of([0, 1]))
    twice = head.loss(queries[[0, 1, 0, 1]], batch_of([0, 1, 0, 1]))
    assert torch.allclose(once, twice, atol=1e-6)


def test_siglip_counts_a_content_as_often_as_it_is_shown() -> None:
    head, queries = built(drawn(4, 3), loss="siglip"), drawn(3, 3, seed=1)
    # Candidates of the original loss: one for each trial; copies of the right one left out.
    target = torch.tensor([0, 1, 1])
    s = 10 * F.normalize(queries, dim=1) @ F.normalize(head.gallery(target), dim=1).T - 10
    other = target[:, None] != target
    expected = F.softplus(-s.diagonal()).sum() + (F.softplus(s) * other).sum()
    assert torch.allclose(head.loss(queries, batch_of(target)), expected / 3, atol=1e-6)


@pytest.mark.parametrize("loss", ["clip_one_sided", "clip", "siglip", "dsiglip"])
def test_two_trials_of_one_content_do_not_push_each_other(loss) -> None:
    head = built(drawn(4, 3), loss=loss)
    queries = head.gallery(torch.tensor([2, 2])).detach().clone().requires_grad_()
    head.loss(queries, batch_of([2, 2])).backward()
    # Both are where they should be: nothing may turn them away from it.
    turned = queries.grad - (queries.grad * F.normalize(queries, dim=1)).sum(
        1, keepdim=True
    ) * F.normalize(queries, dim=1)
    assert turned.abs().max() < 1e-5


def test_attended_is_told_from_its_rival_only() -> None:
    rivals = np.array([[1], [2], [0]])
    head = built(drawn(3, 4), rivals, negatives="rivals", standardise=False)
    queries = drawn(3, 4, seed=1)
    s = queries @ F.normalize(head.gallery(torch.arange(3)), dim=1).T
    two_way = F.softplus(s[range(3), [1, 2, 0]] - s.diagonal()).mean()
    assert torch.allclose(head.loss(queries, batch_of([0, 1, 2], rivals)), two_way, atol=1e-6)


def test_rivals_join_the_contents_of_the_batch() -> None:
    rivals = np.array([[3], [3], [0], [0]])
    values, queries = drawn(4, 4), drawn(2, 4, seed=1)
    both = built(values, rivals, negatives="both", standardise=False)
    alone = built(values, rivals, negatives="batch", standardise=False)
    s = queries @ F.normalize(values, dim=1).T
    batch = batch_of([0, 1], rivals[:2])
    assert torch.allclose(
        both.loss(queries, batch), F.cross_entropy(s[:, [0, 1, 3]], torch.arange(2)), atol=1e-6
    )
    assert torch.allclose(
        alone.loss(queries, batch), F.cross_entropy(s[:, :2], torch.arange(2)), atol=1e-6
    )


def test_the_squared_error_is_added() -> None:
    values, queries, batch = drawn(4, 3), drawn(4, 3, seed=1), batch_of([0, 1, 2, 3])
    without, added = built(values), built(values, mse=2.0)
    error = F.mse_loss(queries, without.gallery(torch.arange(4)))
    assert torch.allclose(added.loss(queries, batch), without.loss(queries, batch) + 2 * error)


def test_contents_are_standardised_by_training_trials_alone() -> None:
    values = torch.tensor([[0.0, 1.0], [2.0, 1.0], [100.0, 50.0]])
    head = built(values, training=np.array([0, 1, 1, 1]))
    # Mean 1.5 and variance .75 of 0, 2, 2, 2; the second feature never changes.
    expected = torch.tensor([[-1.5 / 0.75**0.5, 0.0], [0.5 / 0.75**0.5, 0.0]])
    assert torch.allclose(head.gallery(torch.tensor([0, 1])), expected, atol=1e-5)
    assert torch.allclose(head.gallery(torch.tensor([2]))[0, 1], torch.tensor(49.0))


def test_moments_of_features_in_time() -> None:
    x = drawn(3, 4, 2)
    every = x[[0, 1, 1, 2]]
    mean, deviation = moments(x, torch.tensor([1, 2, 1]))
    assert torch.allclose(mean, every.mean(0), atol=1e-6)
    left = (every - every.mean(0)).reshape(-1, 2)
    assert torch.allclose(deviation, left.square().mean(0).sqrt(), atol=1e-6)
    # Without frames there is one mean for all.
    mean, deviation = moments(x[:, 0], torch.tensor([1, 2, 1]))
    assert torch.allclose(mean, every[:, 0].mean(0), atol=1e-6)
    assert torch.allclose(deviation, every[:, 0].std(0, unbiased=False), atol=1e-6)


@pytest.mark.parametrize("time", ["kept", "flat"])
def test_a_course_that_all_contents_share_does_not_matter(time) -> None:
    """Loud at the event and fading: without the mean of each frame it would decide the cosine."""
    values, course = drawn(6, 4, 2), torch.tensor([100.0, 50.0, 10.0, 0.0])[None, :, None]
    training, rows = np.arange(4), torch.arange(6)
    plain, shared = (built(v, time=time, training=training) for v in (values, values + course))
    assert torch.allclose(plain.gallery(rows), shared.gallery(rows), atol=1e-4)


@pytest.mark.parametrize("time", ["kept", "flat"])
def test_contents_of_the_test_side_decide_no_mean(time) -> None:
    values, training = drawn(6, 4, 2), np.arange(4)
    other = values.clone()
    other[4:] = 1000.0
    mine, theirs = (built(v, time=time, training=training) for v in (values, other))
    assert torch.equal(mine.mean, theirs.mean)
    assert torch.equal(mine.deviation, theirs.deviation)
    assert torch.allclose(mine.gallery(torch.arange(4)).mean(0), torch.zeros(8), atol=1e-5)


def test_what_becomes_of_time() -> None:
    values = drawn(3, 4, 2)
    rows = torch.arange(3)
    pooled, kept, flat = (
        built(values, time=t, standardise=False) for t in ("pooled", "kept", "flat")
    )
    assert torch.allclose(pooled.gallery(rows), values.mean(1))
    assert torch.equal(kept.gallery(rows), values.flatten(1))
    assert torch.equal(flat.gallery(rows), values.flatten(1))
    features, batch = drawn(3, *SHAPE), batch_of(rows)
    assert pooled(features, batch).shape == (3, 2)
    assert kept(features, batch).shape == (3, 6, 2)
    assert flat(features, batch).shape == (3, 8)


def test_outputs_are_resampled_to_the_frames_of_the_features() -> None:
    head = built(drawn(3, 12, 2), time="kept")
    constant = torch.ones(1, 6, 2) * torch.tensor([1.0, 3.0])
    assert torch.allclose(head.predict(constant, batch_of([0])), constant[0, 0].repeat(12)[None])
    ramp = torch.arange(6.0)[None, :, None].expand(1, 6, 2)
    found = head.predict(ramp, batch_of([0])).reshape(12, 2)[:, 0]
    # Frame t of 12 lies at (t + .5) / 2 - .5 of 6.
    assert torch.allclose(found[1:-1], (torch.arange(12.0)[1:-1] + 0.5) / 2 - 0.5)
    same = built(drawn(3, 6, 2), time="kept")
    output = drawn(2, 6, 2)
    assert torch.allclose(same.predict(output, batch_of([0, 1])), output.flatten(1))


@pytest.mark.parametrize("loss", ["clip_one_sided", "clip", "siglip", "dsiglip"])
def test_training_finds_a_planted_content(loss) -> None:
    values = drawn(8, 4)
    head, batch = built(values, loss=loss), batch_of(range(8))
    features = (values @ drawn(4, 90, seed=2)).reshape(8, *SHAPE)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.05)
    for _ in range(80):
        optimizer.zero_grad()
        head.loss(head(features, batch), batch).backward()
        optimizer.step()
    queries = head.predict(head(features, batch), batch)
    near = F.normalize(queries, dim=1) @ F.normalize(head.gallery(torch.arange(8)), dim=1).T
    assert (near.argmax(1) == torch.arange(8)).all()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"loss": "triplet"}, "loss"),
        ({"time": "summed"}, "time"),
        ({"negatives": "none"}, "negatives"),
        ({"temperature": "warm"}, "temperature"),
        ({"mse": -1.0}, "mse"),
        ({"target_width": -1}, "target_width"),
        ({"mse": 1.0, "target_width": 4}, "one point"),
    ],
)
def test_settings_that_cannot_be(settings, words) -> None:
    with pytest.raises(ValueError, match=words):
        ContrastConfig(**settings)


def test_targets_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="no rivals"):
        built(drawn(3, 4), negatives="rivals")
    with pytest.raises(ValueError, match="no frames"):
        built(drawn(3, 4), time="kept")
    with pytest.raises(ValueError, match="features of every content"):
        built(drawn(3))
    broken = drawn(3, 4)
    broken[1, 2] = torch.nan
    with pytest.raises(ValueError, match="sound 1"):
        built(broken)
