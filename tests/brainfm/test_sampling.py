import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brainfm.sampling import WindowPool, tempered_weights
from brainfm.schedule import EpochSchedule, Progress, batch_sizes


def pool_of(lengths, *, window=100, costs=None, groups=None, datasets=None, **settings_):
    zeros = np.zeros(len(lengths), np.int64)
    return WindowPool(
        lengths=np.array(lengths),
        costs=zeros + 10 if costs is None else np.array(costs),
        groups=zeros if groups is None else np.array(groups),
        datasets=zeros if datasets is None else np.array(datasets),
        window=window,
        **settings_,
    )


def windows_of(pool, epoch=0):
    found = []
    for group, size in enumerate(pool.sizes):
        stretches, starts = pool.windows(epoch, group, np.arange(size))
        found += list(zip(stretches.tolist(), starts.tolist(), strict=True))
    return found


@given(
    lengths=st.lists(st.integers(0, 1000), min_size=1, max_size=20),
    window=st.integers(1, 300),
    seed=st.integers(0, 1000),
    epoch=st.integers(0, 100),
)
def test_every_stretch_gives_floor_length_over_window_windows(lengths, window, seed, epoch):
    pool = pool_of(lengths, window=window, seed=seed)
    found = sorted(windows_of(pool, epoch))
    for i, length in enumerate(lengths):
        starts = [start for stretch, start in found if stretch == i]
        assert len(starts) == length // window
        if not starts:
            continue
        assert starts[0] >= 0
        assert starts[-1] + window <= length
        gaps = np.diff(starts) - window
        # Back to back, but for one end where the window may be moved inwards by half at most.
        assert np.count_nonzero(gaps) <= 1
        assert (gaps >= -(window - length % window + 1) // 2).all()
        assert (gaps <= 0).all()


def test_offsets_reach_every_sample_over_epochs():
    pool = pool_of([100], window=10)
    firsts = {min(start for _, start in windows_of(pool, epoch)) for epoch in range(400)}
    seconds = {sorted(windows_of(pool, epoch))[1][1] for epoch in range(400)}
    assert firsts == set(range(6))
    assert seconds == set(range(5, 16))


def test_epochs_and_seeds_differ_and_repeat_exactly():
    a, b = pool_of([5000] * 4, seed=1), pool_of([5000] * 4, seed=2)
    assert windows_of(a, 3) == windows_of(a, 3)
    assert windows_of(a, 3) != windows_of(a, 4)
    assert windows_of(a, 3) != windows_of(b, 3)


def test_without_shuffle_a_grid_from_the_first_sample():
    pool = pool_of([250, 99, 300], shuffle=False)
    expected = [(0, 0), (0, 100), (2, 0), (2, 100), (2, 200)]
    assert windows_of(pool, 0) == windows_of(pool, 9) == expected


def test_factors_draw_data_sets_more_or_less_often():
    pool = pool_of([1000, 1000, 1000], datasets=[0, 1, 2], factors=[2.5, 0.3, 0.0])
    found = windows_of(pool)
    per_set = [sum(stretch == i for stretch, _ in found) for i in range(3)]
    assert per_set == [25, 3, 0]
    # 2.5: two whole passes at their own offsets and half of a third; only the windows moved
    # inwards at an end can coincide.
    assert len({start for stretch, start in found if stretch == 0}) >= 21
    thirds = {frozenset(s for i, s in windows_of(pool, e) if i == 1) for e in range(20)}
    assert len(thirds) > 10


@pytest.mark.parametrize(
    ("temperature", "expected"), [(1, [1, 1]), (1e9, [0.5 * 1000 / 900, 0.5 * 1000 / 100])]
)
def test_temperature_from_proportional_to_equal(temperature, expected):
    np.testing.assert_allclose(tempered_weights([900, 100], temperature), expected, rtol=1e-6)


def test_temperature_two_takes_square_roots():
    # Shares 30:10 of 1000 windows: 750 and 250 instead of 900 and 100.
    np.testing.assert_allclose(tempered_weights([900, 100], 2), [750 / 900, 250 / 100])


def test_empty_data_set_gets_nothing_and_disturbs_nobody():
    np.testing.assert_allclose(tempered_weights([0, 50], 3), [0, 1])


def schedule_of(pool, sizes, world_size, epoch=0, used=None):
    return EpochSchedule(pool, sizes=sizes, epoch=epoch, world_size=world_size, used=used)


def big_pool(seed=0):
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, 4, 300)
    return pool_of(
        rng.integers(50, 8000, 300),
        groups=groups,
        costs=np.array([19, 64, 128, 306])[groups],
        datasets=rng.integers(0, 5, 300),
        factors=[1, 2.3, 0.4, 1, 1],
    )


def simulate(schedule):
    """Return the steps: per step, per rank, the unit."""
    ranks = [list(schedule.units(rank)) for rank in range(schedule.world_size)]
    assert {len(units) for units in ranks} == {len(schedule)}
    return list(zip(*ranks, strict=True))


def numbers(steps):
    return [
        (unit.group, position)
        for step in steps
        for unit in step
        for position in range(unit.begin, unit.end)
    ]


def all_numbers(pool):
    return sorted((group, k) for group, size in enumerate(pool.sizes) for k in range(size))


@pytest.mark.parametrize("world_size", [1, 2, 8, 64])
def test_ranks_get_disjoint_complete_balanced_batches(world_size):
    pool = big_pool()
    sizes = batch_sizes(pool, 1300)
    assert sizes.tolist() == [68, 20, 10, 4]
    steps = simulate(schedule_of(pool, sizes, world_size))
    assert sorted(numbers(steps)) == all_numbers(pool)
    for step in steps:
        counts = [unit.end - unit.begin for unit in step]
        assert len({unit.group for unit in step}) == 1
        assert max(counts) - min(counts) <= 1
        assert min(counts) >= 1
        assert max(counts) <= sizes[step[0].group]
    # Few more steps than if every batch were full.
    assert len(steps) <= sum(-(-pool.sizes // (sizes * world_size)))


@pytest.mark.parametrize("world_size", [1, 2, 8, 64])
def test_the_windows_of_an_epoch_are_the_same_for_any_number_of_ranks(world_size):
    pool = big_pool()
    steps = simulate(schedule_of(pool, batch_sizes(pool, 1300), world_size, epoch=5))
    found = []
    for step in steps:
        for unit in step:
            drawn = pool.windows(unit.epoch, unit.group, np.arange(unit.begin, unit.end))
            found += list(zip(*(a.tolist() for a in drawn), strict=True))
    assert sorted(found) == sorted(windows_of(pool, 5))


@pytest.mark.parametrize("worlds", [(1, 2), (2, 8), (8, 64), (64, 8), (64, 1), (8, 3, 5), (2, 2)])
def test_resumed_on_other_ranks_nothing_is_repeated_or_lost(worlds):
    pool = big_pool()
    sizes = batch_sizes(pool, 1300)
    progress = Progress(
        epoch=2,
        step=0,
        world_size=worlds[0],
        sizes=tuple(sizes.tolist()),
        used=(0,) * len(sizes),
    )
    found, done = [], 0
    for k, world_size in enumerate(worlds):
        progress = progress.on(pool, world_size=world_size, sizes=sizes)
        schedule = progress.schedule(pool)
        steps = simulate(schedule)[progress.step :]
        stop = len(steps) if k == len(worlds) - 1 else len(steps) // 3
        found += numbers(steps[:stop])
        done += stop
        progress = Progress(**{**vars(progress), "step": progress.step + stop})
        assert progress.earlier + progress.step == done
        repeated = schedule.repeated
        assert repeated < world_size * len(sizes)
    assert sorted(set(found)) == all_numbers(pool)
    assert len(found) - len(set(found)) <= repeated


def test_same_ranks_continue_the_same_order():
    pool = big_pool()
    schedule = schedule_of(pool, batch_sizes(pool, 1300), 8)
    whole = simulate(schedule)
    for step in (0, 1, 17, len(schedule)):
        rest = [list(schedule.units(rank, step)) for rank in range(8)]
        assert list(zip(*rest, strict=True)) == whole[step:]


def test_other_batch_size_in_the_middle_of_an_epoch():
    pool = big_pool()
    sizes = batch_sizes(pool, 1300)
    progress = Progress(epoch=0, step=40, world_size=2, sizes=tuple(sizes.tolist()), used=(0,) * 4)
    first = numbers(simulate(progress.schedule(pool))[:40])
    rest = progress.on(pool, world_size=2, sizes=batch_sizes(pool, 700)).schedule(pool)
    assert sorted(first + numbers(simulate(rest))) == all_numbers(pool)


@settings(max_examples=60)
@given(
    lengths=st.lists(st.integers(0, 900), min_size=1, max_size=12),
    world_size=st.integers(1, 9),
    budget=st.integers(1, 12),
    data=st.data(),
)
def test_more_ranks_than_windows_repeats_only_what_is_announced(lengths, world_size, budget, data):
    groups = data.draw(st.lists(st.integers(0, 2), min_size=len(lengths), max_size=len(lengths)))
    pool = pool_of(lengths, groups=groups, costs=[1] * len(lengths))
    schedule = schedule_of(pool, batch_sizes(pool, budget), world_size)
    found = numbers(simulate(schedule))
    assert sorted(set(found)) == all_numbers(pool)
    assert len(found) - len(set(found)) == schedule.repeated
    assert schedule.repeated <= (world_size - 1) * len(pool.sizes)


def test_kinds_are_mixed_through_the_epoch():
    pool = pool_of([100_000] * 2, groups=[0, 1])
    order = schedule_of(pool, np.array([10, 10]), 1).groups
    assert len(order) == 200
    assert 30 <= order[:100].sum() <= 70
    other = schedule_of(pool, np.array([10, 10]), 1, epoch=1).groups
    assert (order != other).any()


def test_budget_smaller_than_a_window_is_refused():
    with pytest.raises(ValueError, match="one window of the largest kind has 306 channels"):
        batch_sizes(big_pool(), 305)


def test_memory_does_not_grow_with_the_number_of_windows():
    def held(lengths):
        pool = pool_of(lengths, window=100)
        return sum(
            a.nbytes for kind in pool.kinds for a in vars(kind).values() if a is not None
        ) + sum(a.nbytes for a in vars(pool).values() if isinstance(a, np.ndarray))

    assert held([10_000] * 50) == held([10_000_000] * 50)
