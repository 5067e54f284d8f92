import os
import pickle
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainfm.corpus import Corpus, create_corpus, read_config
from brainfm.corpus_file import FileLayout, read_header, recording_path
from brainfm.corpus_index import flagged_stretches, write_index, write_index_entries
from brainfm.corpus_verify import verify_corpus
from brainfm.recording_info import RecordingInfo


def test_round_trip(tmp_path, add_recording, signal):
    create_corpus(tmp_path, {"sfreq": 256.0})
    x = signal(5, 3000, 1)
    good = np.array([True, False, True, True, True])
    written = add_recording(
        tmp_path, "a", x, kind="mag", good=good, flagged=(2, 3, 7), licence="CC0", device="CTF_275"
    )
    write_index(tmp_path)
    corpus = Corpus(tmp_path)
    assert list(corpus.recordings) == [written]
    assert (written.n_times, written.types, written.scale) == (3000, {"mag": 5}, {"mag": 1e-5})
    assert (written.bad_channels, written.bad_seconds) == (1, 3)
    np.testing.assert_array_equal(corpus.read(0), x.astype(np.float32))
    np.testing.assert_array_equal(corpus.good(0), good)
    np.testing.assert_array_equal(corpus.quality(0), [0, 0, 2, 2, 0, 0, 0, 2, 0, 0, 0, 0])
    assert corpus.scale(0) == {"mag": 1e-5}
    assert corpus.sensors(0).names == ("mag0µ", "mag1µ", "mag2µ", "mag3µ", "mag4µ")
    with h5py.File(recording_path(tmp_path, "a")) as file:
        np.testing.assert_array_equal(file["signal"][()], x.T)
        assert file["signal"].chunks is None
        np.testing.assert_array_equal(file["sensors"]["position"], corpus.sensors(0).positions)
        np.testing.assert_array_equal(
            file["sensors"]["orientation"], corpus.sensors(0).orientations
        )


@given(data=st.data())
def test_any_window_equals_the_slice(small_corpus, data):
    corpus = Corpus(small_corpus, max_open=2)
    i = data.draw(st.integers(0, len(corpus) - 1))
    whole = corpus.read(i)
    start = data.draw(st.integers(0, whole.shape[1]))
    n = data.draw(st.integers(0, whole.shape[1] - start))
    np.testing.assert_array_equal(corpus.read(i, start, n), whole[:, start : start + n])
    assert len(corpus._files) <= 2


def test_window_outside_the_recording_is_refused(small_corpus):
    corpus = Corpus(small_corpus)
    for start, n in ((-1, 5), (5880, 9), (0, 10**9)):
        with pytest.raises(ValueError, match="outside recording rec0 with 5888 samples"):
            corpus.read(0, start, n)


def test_digest_does_not_depend_on_block_length(tmp_path, add_recording, signal):
    x = signal(3, 2000, 2)
    a, b = (add_recording(tmp_path, "a", x, block=block) for block in (7, 2000))
    assert a == b


def test_signal_digest_knows_a_copy_with_channels_in_another_order(tmp_path, add_recording, signal):
    x = signal(3, 2000, 3)
    a = add_recording(tmp_path, "a", x)
    b = add_recording(tmp_path, "b", x[::-1])
    c = add_recording(tmp_path, "c", x[:, ::-1])
    assert a.signal_digest == b.signal_digest != c.signal_digest
    assert a.digest != b.digest


def test_writer_refuses_what_does_not_fit(tmp_path, add_recording, signal):
    create_corpus(tmp_path, {})
    x = signal(3, 500, 4)
    for bad, message in (
        (x.astype(np.float32), "expected float16"),
        (np.where(np.arange(500) == 3, np.nan, x).astype(np.float16), "not finite"),
        (x[:, :0], "no samples"),
    ):
        with pytest.raises(ValueError, match=message):
            add_recording(tmp_path, "a", bad)
    with pytest.raises(ValueError, match="must be 1-200 letters"):
        add_recording(tmp_path, "../a", x)
    assert os.listdir(tmp_path / "recordings") == []


def test_error_of_the_source_passes_unchanged(tmp_path, add_recording, signal):
    class Broken(np.ndarray):
        def __getitem__(self, key):
            raise OSError("cable out")

    with pytest.raises(OSError, match=r"^cable out$"):
        add_recording(tmp_path, "a", signal(2, 50, 0).view(Broken))


def test_full_disk_leaves_no_file(tmp_path):
    code = """
import resource, sys
import numpy as np
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
from brainfm.corpus_file import write_recording
from brainfm.recording_info import RecordingInfo
from brainfm.sensors import SensorArray
n = 200_000
sensors = SensorArray(
    positions=np.zeros((1, 3)), orientations=np.zeros((1, 3)), types=np.array(["eeg"]), names=("a",)
)
try:
    write_recording(
        sys.argv[1], RecordingInfo(id="a", dataset="d", subject="s", sfreq=100.0), sensors=sensors,
        good=np.ones(1, bool), scale={"eeg": 1.0}, quality=np.zeros(2000, np.uint8), n_times=n,
        blocks=[np.zeros((1, n), np.float16)],
    )
except OSError as error:
    print("OSError:", error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("OSError: a.h5 could not be written")
    assert os.listdir(tmp_path / "recordings") == []


def test_settings_are_kept_and_others_refused(tmp_path):
    create_corpus(tmp_path, {"sfreq": 256.0, "band": (0.1, 96)})
    assert create_corpus(tmp_path, {"sfreq": 256.0, "band": [0.1, 96]})
    with pytest.raises(ValueError, match=r"sfreq 256.0 -> 128.0.*another folder"):
        create_corpus(tmp_path, {"sfreq": 128.0, "band": [0.1, 96]})
    assert read_config(tmp_path) == {"sfreq": 256.0, "band": [0.1, 96]}


def test_what_is_not_a_corpus_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="is not a corpus"):
        Corpus(tmp_path)
    create_corpus(tmp_path, {})
    with pytest.raises(FileNotFoundError, match="brainfm corpus index"):
        Corpus(tmp_path)


def test_replaced_file_is_noticed_before_it_is_read(tmp_path, add_recording, signal):
    create_corpus(tmp_path, {})
    add_recording(tmp_path, "a", signal(3, 500, 0))
    write_index(tmp_path)
    add_recording(tmp_path, "a", signal(3, 700, 0))
    with pytest.raises(OSError, match="is not the indexed file"):
        Corpus(tmp_path).read(0)


def test_pickle_carries_no_open_file(small_corpus):
    corpus = Corpus(small_corpus)
    expected = corpus.read(3)
    copy = pickle.loads(pickle.dumps(corpus))
    assert not copy._files
    np.testing.assert_array_equal(copy.read(3), expected)


def test_corpus_digest_does_not_depend_on_the_order_of_writing(tmp_path, add_recording, signal):
    for folder, order in ((tmp_path / "x", "abc"), (tmp_path / "y", "cab")):
        create_corpus(folder, {})
        for name in order:
            add_recording(folder, name, signal(2, 300, ord(name)))
        write_index(folder)
    assert Corpus(tmp_path / "x").digest == Corpus(tmp_path / "y").digest


@given(st.lists(st.integers(0, 3), min_size=1, max_size=30))
def test_flagged_stretches_describe_the_track(track):
    rebuilt = np.zeros(len(track), np.uint8)
    for first, stop, flags in flagged_stretches(np.array(track, np.uint8)).tolist():
        assert flags != 0
        rebuilt[first:stop] = flags
    np.testing.assert_array_equal(rebuilt, track)


def _damage(path, position):
    with path.open("r+b") as file:
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ (1 << position % 8)]))


@pytest.mark.parametrize("name", ["corpus.json", "index.h5", "recordings/rec4.h5"])
def test_verify_finds_any_flipped_bit(tmp_path, make_small_corpus, name):
    folder = make_small_corpus(tmp_path, n_seconds_each=2)
    assert [file for file in verify_corpus(folder) if file.problem] == []
    size = (folder / name).stat().st_size
    step = max(1, size // 60)
    for position in [*range(0, 600, 75), *range(0, size, step), size - 1]:
        if position >= size:
            continue
        _damage(folder / name, position)
        found = {file.name for file in verify_corpus(folder) if file.problem}
        assert name in found, f"bit flipped in byte {position} of {size}"
        _damage(folder / name, position)


def test_verify_finds_missing_added_truncated_and_renamed_files(tmp_path, make_small_corpus):
    folder = make_small_corpus(tmp_path, n_seconds_each=2)
    recordings = folder / "recordings"
    (recordings / "rec1.h5").rename(recordings / "other.h5")
    (recordings / "rec2.h5").unlink()
    os.truncate(recordings / "rec3.h5", 9000)
    with (recordings / "rec4.h5").open("ab") as file:
        file.write(b"\0")
    (recordings / "rec5.h5").write_bytes(b"")
    found = {file.name: file.problem for file in verify_corpus(folder) if file.problem}
    assert sorted(found) == [
        f"recordings/{n}.h5" for n in ("other", *(f"rec{k}" for k in range(1, 6)))
    ]
    assert "renamed" in found["recordings/other.h5"]
    assert found["recordings/rec2.h5"] == "missing"


def _synthetic_index(folder, n_recordings, hours):
    create_corpus(folder, {})
    n_times = int(hours * 3600 * 256)
    info = RecordingInfo(
        id="x", dataset="d", subject="s", sfreq=256.0, n_times=n_times, types={"eeg": 64},
        digest="0" * 64, signal_digest="0" * 64,
    )  # fmt: skip
    fields = {k: v for k, v in vars(info).items() if k not in ("id", "dataset", "subject")}
    layout = FileLayout(size=1, signal_offset=1, sensors_offset=1, name_bytes=4)
    quality = np.zeros(int(hours * 3600), np.uint8)
    quality[100:105] = 1
    entries = [
        (RecordingInfo(id=f"r{k:06d}", dataset=f"d{k % 40}", subject=f"s{k}", **fields), layout,
         quality, np.zeros(0, np.uint64))
        for k in range(n_recordings)
    ]  # fmt: skip
    write_index_entries(folder, entries)


def test_index_of_a_million_windows_opens_in_milliseconds(tmp_path):
    _synthetic_index(tmp_path, 3000, hours=1)
    Corpus(tmp_path)
    took = []
    for _ in range(5):
        begin = time.perf_counter()
        corpus = Corpus(tmp_path)
        took.append(time.perf_counter() - begin)
    assert corpus.columns.n_times.sum() // 2560 > 1e6
    assert min(took) < 0.05
    assert corpus.recordings[1234].id == "r001234"


def test_index_does_not_grow_with_the_number_of_windows(tmp_path):
    sizes = []
    for name, hours in (("short", 1), ("long", 100)):
        _synthetic_index(tmp_path / name, 10, hours)
        corpus = Corpus(tmp_path / name)
        sizes.append(sum(v.nbytes for v in vars(corpus.columns).values() if hasattr(v, "nbytes")))
    assert sizes[0] == sizes[1]


def test_header_read_from_the_file_alone(small_corpus):
    info, layout, quality, _ = read_header(recording_path(small_corpus, "rec4"))
    assert info.id == "rec4"
    assert layout.size == os.path.getsize(recording_path(small_corpus, "rec4"))
    assert len(quality) == 24
