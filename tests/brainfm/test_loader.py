import gc
import itertools
import types

import numpy as np
import pytest
import torch

from brainfm.batches import Batch, collate
from brainfm.corpus import Corpus, create_corpus
from brainfm.corpus_file import recording_path
from brainfm.corpus_index import write_index
from brainfm.loader import WindowLoader, evaluation_windows
from brainfm.windows import window_at

KIND = {"window_s": 2.0, "tokens_per_batch": 60}


@pytest.fixture
def corpus(small_corpus):
    return Corpus(small_corpus, max_open=3)


def same(a, b):
    assert len(a) == len(b)
    for one, other in zip(a, b, strict=True):
        for field in Batch._fields:
            torch.testing.assert_close(
                getattr(one, field), getattr(other, field), rtol=0, atol=0, equal_nan=True
            )


def places(batches):
    return [
        place
        for batch in batches
        for place in zip(batch.recording.tolist(), batch.start.tolist(), strict=True)
    ]


def test_batches_hold_what_the_corpus_holds(corpus):
    batches = list(WindowLoader(corpus, **KIND))
    # 9 recordings of 23 s and a little: 11 windows of 2 s each.
    assert len(places(batches)) == 99
    for batch in batches:
        windows = [
            window_at(corpus, i, start, 512)
            for i, start in zip(batch.recording.tolist(), batch.start.tolist(), strict=True)
        ]
        same([batch], [collate(windows)])
        assert batch.x.shape[0] * batch.x.shape[1] * 2.0 <= 60
        assert torch.count_nonzero(batch.x[~batch.mask]) == 0
        assert len({tuple(types) for types in batch.types.tolist()}) == 1
        assert (batch.scale == torch.tensor(1e-5)).all()
        assert (batch.lowpass == 96).all()


@pytest.mark.parametrize(
    ("workers", "method"),
    [(2, "fork"), pytest.param(1, "spawn", marks=pytest.mark.slow)],
)
def test_workers_give_the_same_batches(corpus, workers, method):
    corpus.read(0, 0, 10)  # a file that is already open must not disturb the children
    alone = WindowLoader(corpus, **KIND)
    helped = WindowLoader(corpus, **KIND, num_workers=workers, start_method=method)
    for _ in range(2):
        same(list(alone), list(helped))


@pytest.mark.parametrize("workers", [0, 2])
def test_half_batches_are_the_same_numbers_in_half_the_memory(corpus, workers):
    whole = WindowLoader(corpus, **KIND)
    half = WindowLoader(corpus, **KIND, num_workers=workers, half=True)
    batches = [batch._replace(x=batch.x.clone()) for batch in half]
    assert {batch.x.dtype for batch in batches} == {torch.float16}
    assert any((~batch.mask).any() for batch in batches)  # a bad channel is silenced in both
    same([batch._replace(x=batch.x.float()) for batch in batches], list(whole))
    assert len(half._slots.memory[0]) < 0.6 * len(whole._slots.memory[0])


def test_every_pass_is_a_new_epoch_in_a_new_order(corpus):
    loader = WindowLoader(corpus, **KIND)
    first, second = places(loader), places(loader)
    assert first != second
    assert loader.epoch == 2
    loader.set_epoch(0)
    assert places(loader) == first
    assert places(WindowLoader(corpus, **KIND, seed=1)) != first


def test_ranks_share_an_epoch(corpus):
    loaders = [WindowLoader(corpus, **KIND, rank=r, world_size=3) for r in range(3)]
    steps = list(zip(*loaders, strict=True))
    assert len(steps) == len(loaders[0])
    for step in steps:
        assert len({batch.x.shape[1] for batch in step}) == 1
        sizes = [len(batch.x) for batch in step]
        assert max(sizes) - min(sizes) <= 1
    together = places(itertools.chain(*steps))
    assert sorted(together) == sorted(places(WindowLoader(corpus, **KIND)))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("stop", [0, 1, 7])
def test_resumes_after_the_last_batch_used(corpus, workers, stop):
    whole = list(WindowLoader(corpus, **KIND))
    loader = WindowLoader(corpus, **KIND, num_workers=workers)
    used = list(itertools.islice(loader, stop))
    assert len(used) == stop
    state = torch.load(_saved(loader.state_dict()), weights_only=True)
    again = WindowLoader(corpus, **KIND, num_workers=2 - workers)
    again.load_state_dict(state)
    assert len(again) == len(whole)
    same(list(again), whole[stop:])
    again_next, reference = places(again), WindowLoader(corpus, **KIND)
    reference.set_epoch(1)
    assert again_next == places(reference)


def _saved(state):
    import io

    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return file


def test_resumes_on_another_number_of_ranks(corpus):
    before = [WindowLoader(corpus, **KIND, rank=r, world_size=2) for r in range(2)]
    used = [list(itertools.islice(loader, 3)) for loader in before]
    states = [loader.state_dict() for loader in before]
    assert states[0] == states[1]
    after = [WindowLoader(corpus, **KIND, rank=r, world_size=3) for r in range(3)]
    for loader in after:
        loader.load_state_dict(states[0])
    lengths = [len(loader) for loader in after]
    rest = [list(loader) for loader in after]
    assert lengths == [3 + len(batches) for batches in rest]
    found = places(itertools.chain(*used, *rest))
    assert sorted(found) == sorted(places(WindowLoader(corpus, **KIND)))


def test_state_at_the_end_of_an_epoch_continues_with_the_next(corpus):
    loader = WindowLoader(corpus, **KIND)
    batches = iter(loader)
    for _ in range(len(loader)):
        next(batches)
    again = WindowLoader(corpus, **KIND)
    again.load_state_dict(loader.state_dict())
    assert again.epoch == 1
    assert len(places(again)) == 99


def test_set_epoch_of_the_same_epoch_keeps_a_resumed_position(corpus):
    loader = WindowLoader(corpus, **KIND)
    batches = iter(loader)
    for _ in range(4):
        next(batches)
    again = WindowLoader(corpus, **KIND)
    again.load_state_dict(loader.state_dict())
    again.sampler.set_epoch(0)
    same(list(again), list(batches))


def test_state_of_another_split_is_refused(corpus):
    state = WindowLoader(corpus, [0, 1], **KIND).state_dict()
    with pytest.raises(ValueError, match="other recordings, another split"):
        WindowLoader(corpus, [0, 2], **KIND).load_state_dict(state)


def test_flagged_seconds_are_avoided(tmp_path, add_recording, signal):
    create_corpus(tmp_path, {})
    add_recording(tmp_path, "a", signal(3, 256 * 20, 0), flagged=(5, 6, 12))
    write_index(tmp_path)
    corpus = Corpus(tmp_path)
    quality = corpus.quality(0)
    # Clean are 0-5, 7-12 and 13-20 s. Half a window may be flagged from 0-6, 6-20 s.
    for share, n_windows in ((0.0, 2 + 2 + 3), (0.5, 3 + 7), (1.0, 10)):
        loader = WindowLoader(corpus, window_s=2.0, tokens_per_batch=6, max_bad_share=share)
        starts = [start for _ in range(20) for _, start in places(loader)]
        assert len(starts) == 20 * n_windows
        for start in starts:
            bad = np.repeat(quality != 0, 256)[start : start + 512].mean()
            assert bad <= share
    with pytest.raises(ValueError, match="clean enough"):
        WindowLoader(corpus, window_s=8.0, tokens_per_batch=100)


def test_weights_and_temperature_change_the_shares(corpus):
    by_name = WindowLoader(corpus, **KIND, weights={"set0": 0.0})
    assert {i % 2 for i, _ in places(by_name)} == {1}
    equal = WindowLoader(corpus, **KIND, temperature=1e9)
    shares = np.bincount([i % 2 for i, _ in places(equal)])
    assert abs(shares[0] - shares[1]) <= 6
    with pytest.raises(ValueError, match="unknown data sets"):
        WindowLoader(corpus, **KIND, weights={"sett": 1.0})


def test_summary_tells_what_is_dropped_and_repeated(corpus):
    summary = WindowLoader(corpus, [0, 1, 2], **KIND, rank=0, world_size=64).summary()
    assert summary.windows == 33
    # Three kinds of 11 windows on 64 ranks: one step each, 64 - 11 repeated.
    assert (summary.steps, summary.repeated) == (3, 3 * 53)
    assert "repeated" in str(summary)


def test_evaluation_is_a_fixed_grid(corpus):
    loader = evaluation_windows(corpus, **KIND)
    first = places(loader)
    assert first == places(loader)
    assert sorted(first) == [(i, 512 * k) for i in range(9) for k in range(11)]


def test_missing_file_is_one_clear_error_from_a_worker(tmp_path, make_small_corpus):
    folder = make_small_corpus(tmp_path)
    recording_path(folder, "rec0").unlink()
    loader = WindowLoader(Corpus(folder), [0], **KIND, num_workers=1)
    with pytest.raises(FileNotFoundError, match="is in the index but gone") as caught:
        list(loader)
    assert "\n" not in str(caught.value)


def test_global_random_state_is_untouched(corpus):
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    list(WindowLoader(corpus, **KIND))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rank": 2, "world_size": 2}, "rank must lie"),
        ({"window_s": 0.001}, "at least one sample"),
        ({"tokens_per_batch": 13}, "one window of the largest kind has 7 channels"),
        ({"max_bad_share": 2}, "max_bad_share"),
        ({"temperature": 0}, "temperature"),
    ],
)
def test_bad_settings_are_named(corpus, change, message):
    with pytest.raises(ValueError, match=message):
        WindowLoader(corpus, **{**KIND, **change})


@pytest.mark.parametrize("workers", [0, 2])
def test_memory_of_a_batch_is_not_reused_while_any_view_of_it_lives(corpus, workers):
    expected = [batch.x.clone() for batch in WindowLoader(corpus, **KIND)]
    loader = WindowLoader(corpus, **KIND, num_workers=workers)
    views = [batch.x[-1, 0, 5:] for batch in loader]
    for view, x in zip(views, expected, strict=True):
        assert torch.equal(view, x[-1, 0, 5:])
    n_slots = len(loader._slots.memory)
    del view, views
    gc.collect()
    # All blocks but those of answers that nobody asked for any more are free again.
    assert len(loader._slots._free) == n_slots


@pytest.mark.parametrize("workers", [0, 2])
def test_pass_that_is_broken_off_does_not_disturb_the_next(corpus, workers):
    loader = WindowLoader(corpus, **KIND, num_workers=workers)
    for _ in range(3):
        next(iter(loader))
    same(list(loader), list(WindowLoader(corpus, **KIND)))


def test_too_little_shared_memory_is_said_before_a_worker_dies_of_it(corpus, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: types.SimpleNamespace(free=1000))
    with pytest.raises(ValueError, match=r"MB of shared memory.*--shm-size"):
        WindowLoader(corpus, **KIND, num_workers=2)
