"""Windows per second and bytes on disk: the corpus against one ``torch.save`` file per window.

Both sides deliver the same windows in the same random order and the same batches, padded and
collated, to a training process, with the same number of workers. The folder of files is what
published code uses: float32 (C, T), positions and types, one file per 10 s, a dataset that loads
file i, default collation. Training takes the corpus's samples as they are stored, float16, and
makes them float32 on the device (``corpus``); the other lines say what it costs to have them in
float32, or in float32 (C, T) as the files have them, when they arrive. Sides take turns; each turn
starts new workers, so that every file handle is opened within the measured time; with ``--cold``
the page cache is dropped before each turn. The defaults write 7 GB.

    python benchmarks/corpus.py                       # 64 channels, 2 workers
    python benchmarks/corpus.py --channels 306 --hours 2
"""

import argparse
import os
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from brainfm.batches import Batch
from brainfm.corpus import Corpus, create_corpus
from brainfm.corpus_file import write_recording
from brainfm.corpus_index import write_index
from brainfm.loader import WindowLoader
from brainfm.recording_info import RecordingInfo
from brainfm.sensors import SensorArray

SFREQ = 256.0
Place = tuple[int, int]


def make_corpus(folder: Path, args: argparse.Namespace) -> None:
    """Write recordings of noise, some seconds longer than a whole number of windows."""
    create_corpus(folder, {"sfreq": SFREQ})
    rng = np.random.default_rng(0)
    n_times = round((args.hours * 3600 / args.recordings + 7) * SFREQ)
    sensors = SensorArray(
        positions=rng.standard_normal((args.channels, 3)) * 0.1,
        orientations=np.zeros((args.channels, 3)),
        types=np.array(["eeg"] * args.channels),
        names=tuple(f"E{k}" for k in range(args.channels)),
    )
    for k in range(args.recordings):
        x = rng.standard_normal((args.channels, n_times), dtype=np.float32).astype(np.float16)
        write_recording(
            folder,
            RecordingInfo(id=f"r{k:05d}", dataset="d", subject=f"s{k}", sfreq=SFREQ),
            sensors=sensors,
            good=np.ones(args.channels, bool),
            scale={"eeg": 1e-5},
            quality=np.zeros(-int(-n_times // SFREQ), np.uint8),
            n_times=n_times,
            blocks=[x],
        )
    write_index(folder)


def make_files(folder: Path, corpus: Corpus, places: list[Place], n: int) -> dict[Place, int]:
    """Write one file per window, recording by recording, and return their numbers."""
    folder.mkdir()
    numbers = {}
    for number, (i, start) in enumerate(sorted(places)):
        sensors = corpus.sensors(i)
        geometry = np.hstack([sensors.positions, sensors.orientations])
        content = {
            "x": torch.from_numpy(corpus.read(i, start, n)),
            "pos": torch.from_numpy(geometry.astype(np.float32)),
            "sensor_type": torch.from_numpy(sensors.codes),
        }
        torch.save(content, folder / f"{number}.pt")
        numbers[i, start] = number
    return numbers


class FolderOfFiles(Dataset):
    """One ``torch.save`` file per window."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __getitem__(self, i: int) -> dict[str, torch.Tensor]:
        return torch.load(self.folder / f"{i}.pt", weights_only=True)


def drop_page_cache() -> None:
    os.sync()
    try:
        Path("/proc/sys/vm/drop_caches").write_text("3")
    except OSError as error:
        raise SystemExit(f"--cold must write /proc/sys/vm/drop_caches: {error}") from error


def cpu_seconds() -> float:
    """Return the processor time of this process and of its children that have ended."""
    both = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def take(make: Callable[[], Iterable], n_windows: int) -> tuple[float, float, float]:
    """Return wall seconds until all windows were here, processor seconds, and a sum of samples."""
    cpu, begin, seen, total = cpu_seconds(), time.perf_counter(), 0, 0.0
    batches = make()
    for batch in batches:
        x = batch["x"] if isinstance(batch, dict) else batch.x
        seen += len(x)
        # A few samples per channel prove the content without costing this process time.
        total += float(x[:, :, ::1000].double().sum())
    wall = time.perf_counter() - begin
    assert seen == n_windows, (seen, n_windows)
    del batches, batch, x  # ends the workers, whose processor time counts only then
    return wall, cpu_seconds() - cpu, total


def tree_bytes(folder: Path) -> int:
    """Return the bytes that the blocks of all files take."""
    return sum(512 * path.stat().st_blocks for path in folder.rglob("*") if path.is_file())


def measure(folder: Path, args: argparse.Namespace) -> None:
    """Print rates and sizes of both sides."""
    make_corpus(folder / "corpus", args)

    def corpus_side(workers: int = args.workers, half: bool = True) -> WindowLoader:
        return WindowLoader(
            Corpus(folder / "corpus"),
            window_s=args.window,
            tokens_per_batch=args.batch * args.channels * args.window,
            num_workers=workers,
            half=half,
        )

    def like_files(batch: Batch) -> Batch:
        return batch._replace(x=batch.x.float().contiguous())

    batches = [
        list(zip(batch.recording.tolist(), batch.start.tolist(), strict=True))
        for batch in corpus_side(workers=0)
    ]
    places = [place for batch in batches for place in batch]
    n = round(args.window * SFREQ)
    numbers = make_files(folder / "files", Corpus(folder / "corpus"), places, n)
    order = [[numbers[place] for place in batch] for batch in batches]

    sides: dict[str, Callable[[], Iterable]] = {
        "files": lambda: DataLoader(
            FolderOfFiles(folder / "files"), batch_sampler=order, num_workers=args.workers
        ),
        "corpus": corpus_side,
        "corpus, float32": lambda: corpus_side(half=False),
        "corpus, float32 (C, T)": lambda: map(like_files, corpus_side(half=False)),
    }
    results: dict[str, list[tuple[float, float, float]]] = {name: [] for name in sides}
    for _ in range(args.repeats):
        for name, make in sides.items():
            if args.cold:
                drop_page_cache()
            results[name].append(take(make, len(places)))
    assert len({total for turns in results.values() for _, _, total in turns}) == 1
    print(
        f"{len(places)} windows of {args.channels} channels x {args.window:g} s from "
        f"{args.recordings} recordings, {args.workers} workers, batches of {args.batch}, page "
        f"cache {'dropped' if args.cold else 'warm'}, {args.repeats} turns (median; range)"
    )
    base = results["files"]
    for name, turns in results.items():
        rates = [len(places) / wall for wall, _, _ in turns]
        ratio = statistics.median(b[0] / t[0] for b, t in zip(base, turns, strict=True))
        cpu_ratio = statistics.median(b[1] / t[1] for b, t in zip(base, turns, strict=True))
        cpu = statistics.median(cpu for _, cpu, _ in turns) / len(places)
        print(
            f"{name:<26}{statistics.median(rates):7.0f} windows/s ({min(rates):.0f}-"
            f"{max(rates):.0f}), {ratio:.1f} x; {1e3 * cpu:.3f} ms of processor each, "
            f"{cpu_ratio:.1f} x less"
        )
    old, new = tree_bytes(folder / "files"), tree_bytes(folder / "corpus")
    # The corpus also holds the seconds at the edges that this epoch has no window of.
    print(f"on disk: files {old / 1e6:.1f} MB, corpus {new / 1e6:.1f} MB, {new / old:.3f}")


def main() -> None:
    """Parse the command line and measure in a temporary folder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--hours", type=float, default=20.0, help="hours of signal in all")
    parser.add_argument("--recordings", type=int, default=100)
    parser.add_argument("--window", type=float, default=10.0, help="seconds")
    parser.add_argument("--batch", type=int, default=16, help="windows per batch")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--cold", action="store_true", help="drop the page cache (root)")
    parser.add_argument("--folder", type=Path, help="where to write; default: a temporary folder")
    args = parser.parse_args()
    torch.set_num_threads(1)
    folder = Path(tempfile.mkdtemp(dir=args.folder))
    try:
        measure(folder, args)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
