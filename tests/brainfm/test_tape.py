"""Windows of a tape: views of one array, and where samples are missing."""

import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brainfm.tape import ROWS, Tape, copied, pad_ends

SIZES = {
    "n": st.integers(1, 60),
    "lengths": st.lists(st.integers(1, 9), min_size=1, max_size=4),
    "reach": st.integers(0, 70),
    "step": st.integers(1, 20),
}


def cut(x, missing, lengths):
    """Blocks whose lengths cycle through ``lengths``, each array nobody else's."""
    at, i = 0, 0
    while at < x.shape[1]:
        end = at + lengths[i % len(lengths)]
        gone = missing[:, at:end]
        yield copied((x[:, at:end], gone if gone.any() else None))
        at, i = end, i + 1


@given(**SIZES)
@settings(max_examples=100, deadline=None)
def test_what_is_written_over_a_window_is_in_no_later_one(n, lengths, reach, step):
    """As far as the next begins, where windows reach as far to both sides: a filter in place."""
    x = np.random.default_rng(n).standard_normal((ROWS + 1, n))
    padded = pad_ends(x, reach, reach)
    tape = Tape(cut(x, np.zeros_like(x, bool), lengths), first=0, n_total=n)
    for at in range(0, n, step):
        until = min(at + step, n)
        window, missing = tape.take(at - reach, until + reach)
        np.testing.assert_allclose(window, padded[:, at : until + 2 * reach], atol=1e-12)
        assert missing is None
        window[:, : until - at] = np.nan


@given(**SIZES, share=st.floats(0, 0.5))
@settings(max_examples=100, deadline=None)
def test_missing_samples_stay_where_they_are(n, lengths, reach, step, share):
    gone = np.random.default_rng(n).random((3, n)) < share
    padded = np.pad(gone, ((0, 0), (reach, reach)))
    tape = Tape(cut(np.ones((3, n)), gone, lengths), first=0, n_total=n)
    for at in range(0, n, step):
        until = min(at + step, n)
        _, missing = tape.take(at - reach, until + reach)
        found = np.zeros((3, until - at + 2 * reach), bool) if missing is None else missing
        np.testing.assert_array_equal(found, padded[:, at : until + 2 * reach])


def test_no_block_is_asked_for_before_it_is_needed_nor_held_after():
    made = []

    def blocks():
        for k in range(10):
            assert all(block() is None for block in made)
            x = np.full((2, 10), float(k))
            made.append(weakref.ref(x))
            yield x, None
            del x

    tape = Tape(blocks(), first=0, n_total=100)
    for start, n_made in ((0, 2), (5, 2), (10, 3), (25, 4), (40, 6), (55, 7), (70, 9), (85, 10)):
        window, _ = tape.take(start, start + 15)
        assert len(made) == n_made
        assert window[:, -1].tolist() == [n_made - 1.0] * 2


def test_a_window_that_begins_behind_the_last_one_is_refused():
    tape = Tape(iter([(np.zeros((1, 50)), None)]), first=0, n_total=50)
    tape.take(0, 20)
    tape.take(20, 30)
    with pytest.raises(AssertionError, match="behind the end"):
        tape.take(40, 50)
