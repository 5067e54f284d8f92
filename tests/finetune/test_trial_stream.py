from itertools import pairwise

import numpy as np
import pytest
from brainfm.finetune.trial_stream import TrialStream, global_batches, part_of
from hypothesis import given, settings
from hypothesis import strategies as st


def stream(n=20, **changes):
    defaults = {"batch_size": 6, "seed": 3, "shuffle": True}
    # The batch of some trials is, here, those trials.
    return TrialStream(lambda trials: trials, np.arange(n), **(defaults | changes))


def epoch(loader):
    return [batch.tolist() for batch in loader]


@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=60), size=st.integers(1, 20))
@settings(max_examples=60, deadline=None)
def test_batches_hold_every_unit_once_and_are_about_equal(lengths, size):
    edges = np.cumsum([0, *lengths])
    units = [np.arange(a, b) for a, b in pairwise(edges)]
    batches = global_batches(units, size)
    flat = [k for batch in batches for unit in batch for k in unit]
    assert flat == list(range(edges[-1]))
    assert max(sum(map(len, batch)) for batch in batches) < size + 2 * max(lengths)


@given(n=st.integers(1, 200), size=st.integers(1, 50))
@settings(max_examples=60, deadline=None)
def test_batches_of_single_trials_differ_by_one_at_most(n, size):
    sizes = [len(batch) for batch in global_batches([np.array([k]) for k in range(n)], size)]
    assert sum(sizes) == n
    assert max(sizes) <= size
    assert max(sizes) - min(sizes) <= 1
    assert len(sizes) == -(-n // size)


@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.parametrize("shuffle", [True, False])
def test_ranks_together_have_the_batches_of_one(world, shuffle):
    alone = epoch(stream(shuffle=shuffle))
    ranks = [epoch(stream(shuffle=shuffle, rank=r, world_size=world)) for r in range(world)]
    assert all(len(batches) == len(alone) for batches in ranks)
    for step, batch in enumerate(alone):
        parts = [k for batches in ranks for k in batches[step]]
        assert sorted(parts) == sorted(batch)
        loads = [len(batches[step]) for batches in ranks]
        assert max(loads) - min(loads) <= 1


def test_every_epoch_has_another_order_and_every_trial_once():
    loader = stream()
    first, second = epoch(loader), epoch(loader)
    assert loader.epoch == 2
    for batches in (first, second):
        assert sorted(k for batch in batches for k in batch) == list(range(20))
    assert first != second
    again = stream()
    again.set_epoch(1)
    assert epoch(again) == second
    assert epoch(stream(seed=4)) != first
    assert epoch(stream(shuffle=False)) == [
        list(range(a, b)) for a, b in [(0, 5), (5, 10), (10, 15), (15, 20)]
    ]


def test_a_run_that_was_cut_off_goes_on_with_the_next_batch():
    whole = stream()
    reference = epoch(whole) + epoch(whole)
    cut = stream()
    seen = []
    for batch in cut:
        seen.append(batch.tolist())
        state = cut.state_dict()
        if len(seen) == 3:
            break
    resumed = stream()
    resumed.load_state_dict(state)
    # Lightning names the epoch it is in before every pass.
    resumed.set_epoch(0)
    assert len(resumed) == 4
    seen += epoch(resumed)
    resumed.set_epoch(1)
    seen += epoch(resumed)
    assert seen == reference


def test_a_state_at_the_end_of_an_epoch_begins_the_next():
    whole = stream()
    epoch(whole)
    second = epoch(whole)
    cut = stream()
    for _ in cut:
        state = cut.state_dict()
    resumed = stream()
    resumed.load_state_dict(state)
    assert resumed.epoch == 1
    assert epoch(resumed) == second


def test_a_run_goes_on_with_another_number_of_ranks():
    reference = epoch(stream())
    cut = stream(rank=1, world_size=2)
    iterator = iter(cut)
    next(iterator)
    state = cut.state_dict()
    resumed = stream()
    resumed.load_state_dict(state)
    assert epoch(resumed) == reference[1:]


def test_the_state_of_other_trials_is_refused():
    with pytest.raises(ValueError, match="belongs to other trials"):
        stream(batch_size=5).load_state_dict(stream().state_dict())


def test_passages_stay_whole_and_in_order_on_every_rank():
    passage = np.repeat(np.arange(8), [1, 4, 2, 3, 3, 2, 4, 1])
    for world in (1, 2):
        for rank in range(world):
            loader = stream(passage=passage, batch_size=10, rank=rank, world_size=world)
            for batch in loader:
                assert (np.diff(batch) > 0).all()
                for number in np.unique(passage[batch]):
                    assert (passage[batch] == number).sum() == (passage == number).sum()


def test_a_batch_that_cannot_be_divided_is_an_error():
    with pytest.raises(ValueError, match=r"1 trials \(or passages\) cannot be divided among 2"):
        epoch(stream(n=1, world_size=2))
    with pytest.raises(ValueError, match="rank must lie in"):
        stream(rank=2, world_size=2)


def test_the_lightest_rank_takes_the_next_longest_passage():
    batch = [np.arange(0, 5), np.arange(5, 7), np.arange(7, 9)]
    assert part_of(batch, 0, 2).tolist() == [0, 1, 2, 3, 4]
    assert part_of(batch, 1, 2).tolist() == [5, 6, 7, 8]


def identity(trials):
    return trials


@pytest.mark.slow
def test_worker_processes_change_nothing():
    import torch

    before = torch.get_rng_state()
    loader = TrialStream(identity, np.arange(20), batch_size=6, seed=3, shuffle=True, n_workers=2)
    assert epoch(loader) == epoch(stream())
    assert (torch.get_rng_state() == before).all()
