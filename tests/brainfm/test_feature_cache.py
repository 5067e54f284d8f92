from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from brainfm.feature_cache import FeatureCache


def test_an_entry_is_made_once_and_comes_back_exactly(tmp_path):
    cache, made = FeatureCache(tmp_path), []

    def make():
        made.append(1)
        return {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array(["x"])}

    first, again = (cache.get(make, b"bytes", "settings", 3) for _ in range(2))
    assert len(made) == 1
    for name in ("a", "b"):
        np.testing.assert_array_equal(first[name], again[name])
        assert first[name].dtype == again[name].dtype
    cache.get(make, b"other", "settings", 3)
    assert len(made) == 2
    assert FeatureCache(None).path(b"bytes") is None
    FeatureCache(None).get(make, b"bytes", "settings", 3)
    assert len(made) == 3


def test_many_at_once_leave_one_whole_entry(tmp_path):
    def work(k):
        return FeatureCache(tmp_path).get(lambda: {"a": np.full(10_000, 7.0)}, "same")["a"].sum()

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(work, range(32))) == {70_000.0}
    assert len([p for p in tmp_path.rglob("*") if p.is_file()]) == 1


def test_a_failure_leaves_nothing_and_damage_is_said(tmp_path):
    cache = FeatureCache(tmp_path)
    with pytest.raises(ZeroDivisionError):
        cache.get(lambda: {"a": np.array(1 / 0)}, "key")
    assert not cache.path("key").exists()
    cache.get(lambda: {"a": np.arange(1000)}, "key")
    whole = cache.path("key").read_bytes()
    cache.path("key").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="is damaged"):
        cache.get(dict, "key")
