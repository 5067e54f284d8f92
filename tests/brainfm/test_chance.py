import numpy as np
import pytest

from brainfm.chance import permutation_test, shuffled_within

N_STUDIES = 400


def agreement(prediction):
    return lambda target: float((prediction == target).mean())


def test_shuffling_stays_within_blocks_and_reaches_every_order():
    blocks = np.array([2, 1, 2, 1, 1, 3])
    generator = np.random.default_rng(0)
    orders = [shuffled_within(blocks, generator) for _ in range(300)]
    for order in orders:
        assert sorted(order.tolist()) == list(range(6))
        np.testing.assert_array_equal(blocks[order], blocks)
    # 2! of block 2 times 3! of block 1.
    assert len({tuple(order.tolist()) for order in orders}) == 12


def test_p_is_uniform_when_there_is_nothing_to_find():
    rng = np.random.default_rng(1)
    blocks = np.repeat(np.arange(4), 10)
    found = []
    for _ in range(N_STUDIES):
        # What a block's trials have in common, here a level, is no effect.
        level = 2 * rng.standard_normal(4)[blocks]
        prediction, target = level + rng.standard_normal((2, 40))
        test = permutation_test(
            lambda t, x=prediction: float(x @ t), target, blocks, generator=rng, n_permutations=39
        )
        found.append(test.p_value)
    # 5 % is two places of forty; within three standard errors of 400 studies. So is every decile.
    p = np.array(found)
    for level in (0.05, 0.1, 0.2, 0.5, 0.9):
        allowed = 3 * np.sqrt(level * (1 - level) / N_STUDIES)
        assert (p <= level + 1e-9).mean() == pytest.approx(level, abs=allowed)


def test_shuffling_across_blocks_would_find_what_is_not_there():
    rng = np.random.default_rng(1)
    blocks = np.repeat(np.arange(4), 10)
    favourite = np.array([0, 1, 0, 1])[blocks]
    draw = rng.random((2, 40)) < 0.9
    prediction, target = np.where(draw, favourite, 1 - favourite)
    within, across = (
        permutation_test(agreement(prediction), target, b, generator=rng, n_permutations=199)
        for b in (blocks, np.zeros(40))
    )
    assert across.p_value == 1 / 200
    assert within.p_value > 0.05
    assert within.null.mean() > 0.7
    assert across.null.mean() == pytest.approx(0.5, abs=0.05)


def test_a_planted_effect_has_the_least_p_and_errors_are_turned_round():
    target = np.tile([0.0, 1.0], 15)
    generator = np.random.default_rng(0)
    blocks = np.zeros(30)
    up = permutation_test(agreement(target), target, blocks, generator=generator, n_permutations=99)
    assert up.p_value == 1 / 100
    assert len(up.null) == 99
    down = permutation_test(
        lambda t: float(np.abs(t - target).mean()),
        target,
        blocks,
        generator=generator,
        n_permutations=99,
        higher_is_better=False,
    )
    assert down.p_value == 1 / 100


def test_a_constant_decoder_and_an_undefined_score_have_p_one():
    target = np.tile([0, 1], 15)
    for statistic in (lambda t: 0.5, lambda t: float("nan")):
        test = permutation_test(
            statistic, target, np.zeros(30), generator=np.random.default_rng(0), n_permutations=9
        )
        assert test.p_value == 1


def test_blocks_of_one_class_cannot_be_shuffled():
    target = np.repeat([0, 1], 5)
    with pytest.raises(ValueError, match="no block has two different targets"):
        permutation_test(agreement(target), target, target, generator=np.random.default_rng(0))
