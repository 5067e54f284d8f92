import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from brainfm.stretches import allowed_stretches, kinds_of


@given(
    bad=st.lists(st.booleans(), min_size=1, max_size=120),
    window=st.integers(1, 40),
    max_bad=st.integers(0, 20),
)
def test_every_window_in_a_stretch_and_no_other_is_allowed(bad, window, max_bad):
    bad = np.array(bad)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], bad, [0]])))
    pieces = allowed_stretches(edges.reshape(-1, 2), len(bad), window, max_bad)
    inside = set()
    end = 0
    for begin, length in pieces:
        assert begin >= end
        assert length >= window
        end = begin + length
        inside |= set(range(begin, end - window + 1))
    for start in inside:
        assert bad[start : start + window].sum() <= max_bad
    if max_bad == 0:
        allowed = {s for s in range(len(bad) - window + 1) if not bad[s : s + window].any()}
        assert inside == allowed


def test_stretches_by_hand():
    # 100 samples, 40..50 flagged, windows of 20.
    flagged = np.array([[40, 50]])
    assert allowed_stretches(flagged, 100, 20, 0) == [(0, 40), (50, 50)]
    # Up to 5 of 20: starts to 25 and from 45; the second stretch begins where the first ends.
    assert allowed_stretches(flagged, 100, 20, 5) == [(0, 45), (45, 55)]
    assert allowed_stretches(flagged, 100, 20, 10) == [(0, 100)]
    assert allowed_stretches(np.zeros((0, 2)), 19, 20, 0) == []


def test_kinds_share_sensor_types_and_nearly_the_number_of_channels():
    counts = np.array(
        [[64, 0, 0], [63, 0, 0], [19, 0, 0], [0, 102, 204], [64, 102, 204], [62, 0, 0]]
    )
    kinds = kinds_of(counts)
    assert kinds[0] == kinds[1] == kinds[5]
    assert len(set(kinds.tolist())) == 4
