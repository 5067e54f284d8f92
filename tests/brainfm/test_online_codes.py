"""Codes computed when they are wanted: those that are stored, of the same windows."""

import pickle

import numpy as np
import pytest
import torch

from brainfm.augmentation import AugmentationConfig
from brainfm.checkpoints import save_checkpoint
from brainfm.cli import main
from brainfm.code_loader import CodeLoader
from brainfm.codes import CodeCorpus
from brainfm.corpus import create_corpus
from brainfm.corpus_index import write_index
from brainfm.online_codes import OnlineCodes, SignalLoader
from brainfm.processing import ProcessingConfig
from brainfm.schedule import Unit
from brainfm.signal_frames import windows_under

VARIED = AugmentationConfig(rotation_deg=20.0, jitter_m=0.01, drop_channels=0.8)


def make_both(tmp_path, add_recording, signal, model):
    """Stored and online codes of recordings of 2 to 5 electrodes, some bad, some not for it."""
    folder, checkpoint = tmp_path / "corpus", save_checkpoint(model, tmp_path / "checkpoint")
    create_corpus(folder, ProcessingConfig().settings())
    for k, n_times in enumerate((1300, 100, 2000, 777, 1024, 900)):
        x = signal(2 + k % 4, n_times, k)
        good = np.ones(len(x), bool)
        good[1] = k not in (2, 5)
        kind = "mag" if k == 4 else "eeg"
        add_recording(folder, f"rec{k}", x, kind=kind, good=good, flagged=(3,) if k == 2 else ())
    write_index(folder)
    words = ["codes", str(folder), "--tokenizer", str(checkpoint), "--out", str(tmp_path / "codes")]
    assert main(words) == 1  # recordings 1 (too short) and 4 (magnetometers) are left out
    return CodeCorpus(tmp_path / "codes"), OnlineCodes(folder, checkpoint)


@pytest.fixture(params=[0.0, 0.25, 0.5])
def both(tmp_path, add_recording, signal, tiny_model, request):
    """Stored and online codes, with tokenizer windows that overlap by nothing and more."""
    model = tiny_model(masked=None, types={"eeg": 0}, overlap=request.param)
    return make_both(tmp_path, add_recording, signal, model)


def loaders(both, **settings):
    fields = {"context_frames": 10, "windows_per_batch": 4, "seed": 3} | settings
    recordings = list(range(len(both[0])))
    return CodeLoader(both[0], recordings, **fields), SignalLoader(both[1], recordings, **fields)


def test_they_are_the_same_recordings(both):
    stored, online = both
    assert online.recordings == stored.recordings
    assert online.left_out == stored.left_out
    assert np.array_equal(online.n_frames, stored.n_frames)
    assert online.token_shape == stored.token_shape
    assert (online.digest, online.codes_digest) == (stored.digest, stored.codes_digest)
    for i in range(len(stored)):
        assert np.array_equal(online.flagged(i), stored.flagged(i))
        assert np.array_equal(online.times(i), stored.times(i))


def test_any_stretch_has_the_stored_codes(both):
    stored, online = both
    for i in range(len(stored)):
        total = int(stored.n_frames[i])
        assert np.array_equal(online.read(i), stored.read(i))
        for start, n in ((0, 1), (3, 9), (total - 7, 7), (5, 1)):
            assert np.array_equal(online.read(i, start, n), stored.read(i, start, n))
    with pytest.raises(ValueError, match="outside their recordings"):
        online.read(0, 0, 10**6)


@pytest.mark.parametrize("shuffle", [True, False])
def test_batches_are_the_same(both, shuffle):
    cached, fresh = loaders(both, shuffle=shuffle)
    assert len(cached) == len(fresh) > 2
    for expected, batch in zip(cached, fresh, strict=True):
        found = both[1].encode(batch, 10)
        assert torch.equal(found.recording, expected.recording)
        assert torch.equal(found.start, expected.start)
        assert torch.equal(found.codes, expected.codes)
        assert found.codes.dtype == torch.int64


def test_nothing_is_computed_that_no_frame_needs(both):
    """Frames 0 to 7 of windows of four: two windows, though eight frames may touch three."""
    online = both[1]
    assert windows_under(8, online.tokenizer) == 3
    rows = []
    quantizer = online.encoder.model.tokenizer.quantizer
    hook = quantizer.register_forward_pre_hook(lambda _, x: rows.append(len(x[0])))
    online.read(0, 0, 8)
    online.read(0, 1, 8)
    hook.remove()
    assert rows == [2, 3]


def test_augmentation_repeats_with_the_epoch_and_resumes(both):
    def fresh():
        return SignalLoader(
            both[1],
            range(len(both[1])),
            augmentation=VARIED,
            context_frames=10,
            windows_per_batch=3,
        )

    whole = list(fresh())
    loader = fresh()
    batches = iter(loader)
    next(batches)
    state = loader.state_dict()
    batches.close()
    resumed = fresh()
    resumed.load_state_dict(state)
    for expected, found in zip(whole[1:], resumed, strict=True):
        for a, b in zip(expected.signal, found.signal, strict=True):
            assert (
                torch.equal(
                    a,
                    b,
                )
                or a.isnan().any()
            )
    second = list(resumed)
    assert not torch.equal(whole[0].signal.positions, second[0].signal.positions)
    plain = next(iter(loaders(both, windows_per_batch=3, seed=0)[1]))
    assert torch.equal(plain.start, whole[0].start)
    assert not torch.equal(plain.signal.positions, whole[0].signal.positions)


def test_augmentation_is_drawn_anew_in_every_epoch(both):
    loader = SignalLoader(
        both[1], [0, 1], augmentation=VARIED, context_frames=10, windows_per_batch=2
    )
    where = np.array([0, 1]), np.array([3, 0])
    first, again, later = (
        loader.batch(*where, Unit(epoch=epoch, group=0, begin=0, end=2)).signal
        for epoch in (0, 0, 1)
    )
    assert torch.equal(first.positions, again.positions)
    assert not torch.equal(first.positions, later.positions)


def test_dropped_channels_have_no_say(both):
    """A channel that augmentation dropped and one that is not there: the same codes."""
    online = both[1]
    one = online.read_signals(np.array([2]), np.array([2]), 10)
    assert one.n_channels.tolist() == [5]
    keep = torch.ones(one.signal.mask.shape, dtype=torch.bool)
    keep[0, -1] = False
    mask = one.signal.mask & keep
    dropped = one._replace(signal=one.signal._replace(mask=mask, x=one.signal.x * mask[..., None]))
    gone = one._replace(
        n_channels=one.n_channels - 1,
        signal=one.signal._replace(
            **{
                name: getattr(one.signal, name)[:, :-1]
                for name in ("x", "positions", "orientations", "types", "mask", "scale")
            }
        ),
    )
    codes = online.encode(dropped, 10).codes
    assert torch.equal(codes, online.encode(gone, 10).codes)
    assert not torch.equal(codes, online.encode(one, 10).codes)


def test_engines_of_short_precision_do_not_round_the_signal(both):
    from lightning.pytorch.plugins.precision import HalfPrecision

    cached, fresh = loaders(both)
    rounded = HalfPrecision("bf16-true").convert_input(next(iter(fresh)))
    assert torch.equal(both[1].encode(rounded, 10).codes, next(iter(cached)).codes)


def test_codes_can_be_trained_on(both):
    """Not tensors of inference mode, which no backward pass takes."""
    batch = both[1].encode(both[1].read_signals(np.array([0]), np.array([0]), 4), 4)
    assert not batch.codes.is_inference()


def test_copies_read_the_same(both):
    online = both[1]
    copy = pickle.loads(pickle.dumps(online))
    assert np.array_equal(copy.read(2, 3, 6), online.read(2, 3, 6))


def test_a_causal_tokenizer_is_refused(tmp_path, add_recording, signal, tiny_model):
    create_corpus(tmp_path, ProcessingConfig().settings())
    add_recording(tmp_path, "a", signal(2, 900, 0))
    write_index(tmp_path)
    checkpoint = save_checkpoint(tiny_model(masked=None, causal=True), tmp_path / "checkpoint")
    with pytest.raises(ValueError, match=r"is causal: .* run 'brainfm codes'"):
        OnlineCodes(tmp_path, checkpoint)


def test_a_corpus_prepared_otherwise_is_refused(tmp_path, add_recording, signal, tiny_model):
    create_corpus(tmp_path, ProcessingConfig(l_freq=1.0).settings())
    add_recording(tmp_path, "a", signal(2, 900, 0))
    write_index(tmp_path)
    checkpoint = save_checkpoint(tiny_model(masked=None), tmp_path / "checkpoint")
    with pytest.raises(ValueError, match=r"prepared with other settings \(l_freq\)"):
        OnlineCodes(tmp_path, checkpoint)
