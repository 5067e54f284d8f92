"""Time and memory of ``brainfm prepare`` against the same steps written with MNE.

Makes one recording of 306 channels at 1000 Hz (an hour unless --minutes says otherwise, 4.4 GB),
prepares it by both ways, each in a fresh process, then two copies of it with one and two workers.

    python benchmarks/prepare.py --folder runs/prepare --minutes 60
"""

import argparse
import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import mne
import numpy as np
import psutil

SFREQ = 1000.0
N_CHANNELS = 306
LINE = 50.0


def make_piece(path: Path, seconds: int) -> None:
    rng = np.random.default_rng(0)
    kinds = ["mag" if i % 3 == 2 else "grad" for i in range(N_CHANNELS)]
    info = mne.create_info(N_CHANNELS, SFREQ, kinds)
    places = rng.standard_normal((N_CHANNELS, 3))
    places /= np.linalg.norm(places, axis=1, keepdims=True)
    coil = {
        "mag": mne.io.constants.FIFF.FIFFV_COIL_VV_MAG_T1,
        "grad": mne.io.constants.FIFF.FIFFV_COIL_VV_PLANAR_T1,
    }
    for channel, kind, place in zip(info["chs"], kinds, places, strict=True):
        along = np.linalg.svd(place[None])[2]  # the coil normal and two directions across it
        axes = np.stack([along[1], np.cross(place, along[1]), place])
        channel["loc"][:] = np.r_[place * 0.11, axes.ravel()]
        channel["coil_type"] = coil[kind]
    shift = mne.transforms.translation(z=0.03)
    info["dev_head_t"] = mne.transforms.Transform("meg", "head", shift)
    with info._unlock():
        info["line_freq"] = LINE
    times = np.arange(seconds * int(SFREQ)) / SFREQ
    x = rng.standard_normal((N_CHANNELS, len(times)))
    x += np.cumsum(x, axis=1) * 0.02
    x += np.sin(2 * np.pi * LINE * times)
    x *= np.array([1e-12 if kind == "mag" else 2e-11 for kind in kinds])[:, None]
    mne.io.RawArray(x, info, verbose="error").save(path, overwrite=True, verbose="error")


def make_recording(folder: Path, minutes: int) -> list[Path]:
    """Write the recording once and link it as a second one; return both."""
    paths = [folder / name / "long_raw.fif" for name in ("one", "two")]
    marker = folder / f"made_{minutes}"
    if marker.exists():
        return paths
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        for old in path.parent.iterdir():
            old.unlink()
    piece = folder / "piece_raw.fif"
    make_piece(piece, 60)
    parts = [mne.io.read_raw_fif(piece, verbose="error") for _ in range(minutes)]
    raw = mne.concatenate_raws(parts, preload=False, verbose="error")
    raw.set_annotations(None)
    raw.save(paths[0], buffer_size_sec=1.0, overwrite=True, verbose="error")
    for part in paths[0].parent.iterdir():
        os.link(part, paths[1].parent / part.name)
    marker.touch()
    return paths


def by_mne(path: Path, out: Path) -> None:
    """The same steps on the whole recording in memory."""
    raw = mne.io.read_raw_fif(path, preload=True, verbose="error")
    raw.notch_filter([LINE, 2 * LINE], verbose="error")
    raw.filter(0.1, 96.0, verbose="error")
    raw.resample(256.0, verbose="error")
    x = raw.get_data()
    del raw
    kinds = np.array(["mag" if i % 3 == 2 else "grad" for i in range(N_CHANNELS)])
    for kind in ("mag", "grad"):
        chosen = kinds == kind
        low, high = np.quantile(x[chosen, ::16], [0.25, 0.75], axis=1)
        x[chosen] /= np.median(high - low) / 1.349
    np.save(out, np.clip(x, -20, 20).astype(np.float16).T)


def measure(command: list[str]) -> dict[str, float]:
    """Run a command of this file in a fresh process; wall s, CPU s, peak MB of its largest one."""
    script = [sys.executable, __file__, "--inner", *command]
    running = subprocess.Popen(script, stdout=subprocess.PIPE, text=True)
    watched = psutil.Process(running.pid)
    peak, cpu = 0.0, {}
    while running.poll() is None:
        with suppress(psutil.Error):
            for process in [watched, *watched.children(recursive=True)]:
                with suppress(psutil.Error):
                    peak = max(peak, process.memory_info().rss / 1e6)
                    times = process.cpu_times()
                    cpu[process.pid] = times.user + times.system
        time.sleep(0.05)
    assert running.stdout is not None
    text = running.stdout.read()
    assert running.returncode == 0, text
    return {"wall": json.loads(text.splitlines()[-1]), "cpu": sum(cpu.values()), "peak": peak}


def inner(command: list[str]) -> None:
    """Run one way and print the seconds it took, without the start of Python."""
    begin = time.perf_counter()
    if command[0] == "mne":
        by_mne(Path(command[1]), Path(command[2]))
    else:
        from brainfm.cli import main

        assert main(["prepare", *command[1:]]) == 0
    print(time.perf_counter() - begin)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("runs/prepare"))
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--inner", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.inner:
        return inner(args.inner)
    args.folder = args.folder.absolute()
    args.folder.mkdir(parents=True, exist_ok=True)
    one, two = make_recording(args.folder, args.minutes)
    out = args.folder / f"corpus_{time.time_ns()}"
    results = {
        "brainfm prepare, 1 file": measure(["brainfm", str(one), "--out", f"{out}_a"]),
        "MNE, whole recording": measure(["mne", str(one), f"{out}.npy"]),
        "brainfm prepare, 2 files": measure(["brainfm", str(one), str(two), "--out", f"{out}_b"]),
        "... --n-jobs 2": measure(
            ["brainfm", str(one), str(two), "--out", f"{out}_c", "--n-jobs", "2"]
        ),
    }
    print(f"{args.minutes} min of {N_CHANNELS} channels at {SFREQ:g} Hz")
    print(f"{'':<26}{'wall s':>9}{'CPU s':>9}{'peak MB':>9}")
    for name, r in results.items():
        print(f"{name:<26}{r['wall']:>9.1f}{r['cpu']:>9.1f}{r['peak']:>9.0f}")
    ours, theirs, serial, parallel = results.values()
    print(f"memory    {ours['peak'] / theirs['peak']:.3f} of MNE's (target: at most 0.167)")
    print(f"time      {ours['wall'] / theirs['wall']:.2f} of MNE's (target: at most 1)")
    print(f"2 workers {serial['wall'] / parallel['wall']:.2f} times faster (target: 1.7)")
    for path in args.folder.glob("corpus_*"):
        subprocess.run(["rm", "-rf", str(path)], check=True)


if __name__ == "__main__":
    main()
