"""Reading ahead: in order, never too far, errors in their place."""

import threading

import pytest

from brainfm.read_ahead import read_ahead


def test_results_come_in_order():
    assert list(read_ahead(lambda k: k * k, range(20), depth=3)) == [k * k for k in range(20)]
    assert list(read_ahead(lambda k: k, [], depth=3)) == []


def test_it_is_ahead_by_its_depth_and_no_more():
    asked = []
    results = read_ahead(lambda k: k, (asked.append(k) or k for k in range(20)), depth=2)
    for k in range(5):
        assert next(results) == k
        assert len(asked) == k + 3
    results.close()


def test_reading_goes_on_while_a_result_is_used():
    begun = threading.Event()

    def read(k):
        if k == 1:
            begun.set()
        return k

    results = read_ahead(read, range(3), depth=1)
    assert next(results) == 0
    assert begun.wait(5)
    results.close()


def test_an_error_comes_where_its_result_would_have_been():
    def read(k):
        if k == 2:
            raise OSError("gone")
        return k

    results = read_ahead(read, range(9), depth=4)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(OSError, match="gone"):
        next(results)


def test_leaving_early_ends_the_thread():
    results = read_ahead(lambda k: k, range(1000), depth=2)
    next(results)
    results.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("read-ahead")]
