"""Batches of codes: what is stored, each window once, a fixed grid for evaluation."""

import numpy as np
import pytest
import torch

from brainfm.checkpoints import save_checkpoint
from brainfm.code_loader import CodeLoader
from brainfm.codes import CodeCorpus, begin_codes, finish_codes, write_codes
from brainfm.corpus import Corpus, create_corpus
from brainfm.corpus_index import write_index
from brainfm.encoder import Encoder

SECONDS = (5.0, 9.0, 2.0, 7.0)  # 40, 72, 16 and 56 frames


@pytest.fixture(scope="module")
def codes(tiny_model, tmp_path_factory, request):
    folder = tmp_path_factory.mktemp("all")
    checkpoint = save_checkpoint(tiny_model(masked=None), folder / "tokenizer")
    encoder = Encoder.from_pretrained(checkpoint)
    add_recording, signal = request.getfixturevalue("module_writers")
    create_corpus(folder / "corpus", encoder.model.record.processing.settings())
    for k, seconds in enumerate(SECONDS):
        flagged = (4,) if k == 1 else ()
        x = signal(2, int(256 * seconds), k)
        add_recording(folder / "corpus", f"rec{k}", x, flagged=flagged)
    write_index(folder / "corpus")
    corpus = Corpus(folder / "corpus")
    begin_codes(folder / "codes", checkpoint)
    for i in range(len(corpus)):
        write_codes(encoder, corpus, i, folder / "codes")
    finish_codes(folder / "codes", corpus)
    return CodeCorpus(folder / "codes")


@pytest.fixture(scope="module")
def module_writers():
    """Reach the writers of the corpus tests, which are fixtures of single tests."""
    from brainfm.corpus_file import n_seconds, write_recording
    from brainfm.recording_info import RecordingInfo
    from brainfm.sensors import SensorArray

    def signal(n_channels, n_times, seed):
        return np.random.default_rng(seed).standard_normal((n_channels, n_times)).astype("f2")

    def add(folder, recording_id, x, *, flagged=()):
        quality = np.zeros(n_seconds(x.shape[1], 256.0), np.uint8)
        quality[list(flagged)] = 2
        n = len(x)
        write_recording(
            folder,
            RecordingInfo(id=recording_id, dataset="d", subject=recording_id, sfreq=256.0),
            sensors=SensorArray(
                positions=0.1 * np.eye(3)[:n],
                orientations=np.zeros((n, 3)),
                types=np.array(["eeg"] * n),
                names=tuple(f"E{c}" for c in range(n)),
            ),
            good=np.ones(n, bool),
            scale={"eeg": 1e-5},
            quality=quality,
            n_times=x.shape[1],
            blocks=[x],
        )

    return add, signal


def loader(codes, recordings=(0, 1, 2, 3), **settings):
    fields = {"context_frames": 16, "windows_per_batch": 3} | settings
    return CodeLoader(codes, list(recordings), **fields)


def windows(batches):
    """(recording, start) of every window."""
    return [
        pair
        for batch in batches
        for pair in zip(batch.recording.tolist(), batch.start.tolist(), strict=True)
    ]


@pytest.mark.parametrize("shuffle", [True, False])
def test_windows_are_what_is_stored(codes, shuffle):
    for batch in loader(codes, shuffle=shuffle):
        assert batch.codes.shape[1:] == (3, 16, 2)
        assert batch.codes.dtype == torch.int64
        for row, (i, start) in zip(batch.codes, windows([batch]), strict=True):
            stored = codes.read(i, start, 16).astype(np.int64)
            assert np.array_equal(row.permute(1, 0, 2).numpy(), stored)


def test_the_grid_is_fixed_and_avoids_what_is_flagged(codes):
    """Second 4 of recording 1 is frames 32 to 39: grids of 16 begin at 0 and at 40."""
    grid = loader(codes, shuffle=False)
    first, second = windows(grid), windows(grid)
    assert first == second
    assert sorted(first) == [
        (0, 0),
        (0, 16),
        (1, 0),
        (1, 16),
        (1, 40),
        (1, 56),
        (2, 0),
        (3, 0),
        (3, 16),
        (3, 32),
    ]


def test_epochs_differ_and_repeat_with_the_seed(codes):
    one, same, other = loader(codes, seed=1), loader(codes, seed=1), loader(codes, seed=2)
    first = windows(one)
    assert first == windows(same)
    assert first != windows(other)
    assert first != windows(one)  # the second epoch
    one.set_epoch(0)
    assert windows(one) == first


def test_ranks_share_the_windows_and_take_as_many_steps(codes):
    alone = sorted(windows(loader(codes, windows_per_batch=2)))
    ranks = [loader(codes, windows_per_batch=2, rank=r, world_size=2) for r in range(2)]
    batches = [list(rank) for rank in ranks]
    assert len(batches[0]) == len(batches[1]) == len(ranks[0])
    assert set(windows(batches[0] + batches[1])) == set(alone)


def test_it_continues_where_it_stopped(codes):
    whole = windows(loader(codes))
    stopped = loader(codes)
    batches = iter(stopped)
    done = windows([next(batches), next(batches)])
    state = stopped.state_dict()
    resumed = loader(codes)
    resumed.load_state_dict(state)
    assert done + windows(resumed) == whole


def test_recordings_too_short_are_left_out(codes):
    chosen = {i for i, _ in windows(loader(codes, context_frames=24))}
    assert chosen == {0, 1, 3}  # recording 2 has 16 frames


def test_nothing_left_is_an_error(codes):
    with pytest.raises(
        ValueError, match=r"none of 4 recordings holds 100 clean frames .*context_s"
    ):
        loader(codes, context_frames=100)


def test_a_rank_that_does_not_exist(codes):
    with pytest.raises(ValueError, match="rank must lie in"):
        loader(codes, rank=2, world_size=2)
