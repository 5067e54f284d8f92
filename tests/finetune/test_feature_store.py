"""Features that are computed once."""

import numpy as np
import pytest
import torch
from brainfm.finetune.feature_store import FEATURES, FeatureStore, store_of
from brainfm.finetune.pretrained import Pretrained

from brainfm.checkpoints import save_checkpoint

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def checkpoint(tiny_model, tmp_path_factory):
    return str(save_checkpoint(tiny_model(), tmp_path_factory.mktemp("tiny") / "checkpoint"))


@pytest.fixture
def data(prepared_data, planted_folder, tmp_path):
    """Fold 0, with a cache of its own."""
    return lambda **changes: prepared_data(cache=str(tmp_path / "cache"), **changes)


def files(data):
    return sorted((data.corpus.path.parent / FEATURES).glob("*.npy"))


def test_rows_are_those_of_the_backbone(checkpoint, data):
    one = data()
    store = store_of(Pretrained(checkpoint), one, CPU)
    assert len(store) == len(one.trials)
    backbone = Pretrained(checkpoint)
    (batch, *_) = one.side_batches("test")
    backbone.build(batch, 1)
    with torch.no_grad():
        expected = backbone.eval()(batch)
    torch.testing.assert_close(store.rows(batch.trial), expected, atol=2e-6, rtol=1e-5)
    assert store.shape == expected.shape[1:]
    one.use_features(store)
    (carried, *_) = one.side_batches("test")
    assert torch.equal(carried.features, store.rows(batch.trial))


def test_folds_share_a_file_and_it_is_not_made_again(checkpoint, data, monkeypatch):
    store_of(Pretrained(checkpoint), data(), CPU)
    (path,) = files(data())
    before = path.stat().st_mtime_ns
    monkeypatch.setattr(Pretrained, "forward", None)
    store_of(Pretrained(checkpoint), data(fold=1), CPU)
    assert files(data()) == [path]
    assert path.stat().st_mtime_ns == before


def test_other_windows_or_features_are_another_file(checkpoint, data):
    from brainfm.finetune.input_control import InputControl

    store_of(Pretrained(checkpoint), data(), CPU)
    store_of(Pretrained(checkpoint), data(control=InputControl(kind="noise")), CPU)
    store_of(Pretrained(checkpoint, features="masked"), data(), CPU)
    assert len(files(data())) == 3
    store_of(Pretrained(checkpoint), data(control=InputControl(kind="shuffled")), CPU)
    assert len(files(data())) == 3


def test_what_breaks_off_leaves_nothing(checkpoint, data, monkeypatch):
    calls = []

    def fail(self, batch):
        calls.append(batch)
        if len(calls) > 2:
            raise RuntimeError("out of memory")
        return torch.zeros(len(batch.trial), 2, 3, 4)

    monkeypatch.setattr(Pretrained, "forward", fail)
    monkeypatch.setattr(Pretrained, "build", lambda self, example, n: None)
    with pytest.raises(RuntimeError, match="out of memory"):
        store_of(Pretrained(checkpoint), data(), CPU)
    assert list((data().corpus.path.parent / FEATURES).glob("*npy*")) == []


def test_features_that_are_not_finite_are_named(checkpoint, data, monkeypatch):
    def broken(self, batch):
        features = torch.zeros(len(batch.trial), 2, 3, 4)
        features[batch.trial == 3] = torch.nan
        return features

    monkeypatch.setattr(Pretrained, "forward", broken)
    monkeypatch.setattr(Pretrained, "build", lambda self, example, n: None)
    with pytest.raises(ValueError, match=r"trials \[3\] have features that are not finite"):
        store_of(Pretrained(checkpoint), data(), CPU)


def test_rows_in_any_order(tmp_path):
    np.save(tmp_path / "f.npy", np.arange(6, dtype=np.float32).reshape(3, 1, 1, 2))
    store = FeatureStore(tmp_path / "f.npy")
    assert store.rows(torch.tensor([2, 0, 2])).flatten().tolist() == [4, 5, 0, 1, 4, 5]
