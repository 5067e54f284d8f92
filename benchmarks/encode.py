"""How fast and in how much memory recordings become features, finished ones and live ones.

Offline: synthetic EEG (noise) of 64 and 306 channels is encoded through the whole chain, in blocks;
each length runs in a process of its own, so that its peak memory is its own. Reported: hours of
signal a minute, seconds of signal a second of work, and a second of processor time (which other
work on the machine changes less), peak memory, which must not grow with the length. Live: blocks of
80 ms go through :class:`brainfm.stream.BrainStream`; reported: median and 99th percentile of the
time a block takes, by the clock and of the processor, and the real-time factor.

    python benchmarks/encode.py CHECKPOINT --minutes 1 4 30 120
    python benchmarks/encode.py CHECKPOINT --minutes 1 2 --channels 64 --live-seconds 20  # short
"""

import argparse
import json
import multiprocessing
import resource
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from brainfm.encoder import Encoder
from brainfm.recordings import Recording
from brainfm.sensors import SensorArray
from brainfm.stream import Block, BrainStream, StreamConfig

SFREQ = 256.0
BLOCK_S = 0.08
PIECE = 4096


def sensors_of(n: int) -> SensorArray:
    """Return electrodes on a sphere of 9 cm."""
    places = np.random.default_rng(0).standard_normal((n, 3))
    places *= 0.09 / np.linalg.norm(places, axis=1, keepdims=True)
    return SensorArray(
        positions=places,
        orientations=np.zeros((n, 3)),
        types=np.full(n, "eeg"),
        names=tuple(f"E{k}" for k in range(n)),
    )


def noise(n_channels: int, start: int, stop: int) -> np.ndarray:
    """Return samples (C, stop - start) in V of an endless recording, made when they are read."""
    out = np.empty((n_channels, stop - start))
    for piece in range(start // PIECE, -(-stop // PIECE)):
        rng = np.random.default_rng(piece)
        values = rng.standard_normal((n_channels, PIECE), dtype=np.float32)
        first, last = max(start, piece * PIECE), min(stop, (piece + 1) * PIECE)
        out[:, first - start : last - start] = values[:, first - piece * PIECE :][:, : last - first]
    out *= 1e-5
    return out


def recording_of(n_channels: int, seconds: float) -> Recording:
    """Return a recording that needs no memory."""
    return Recording(
        source="noise",
        sensors=sensors_of(n_channels),
        sfreq=SFREQ,
        n_times=round(seconds * SFREQ),
        signal=lambda start, stop: noise(n_channels, start, stop),
        bads=np.zeros(n_channels, dtype=bool),
        line_freq=50.0,
    )


def offline(checkpoint: Path, n_channels: int, minutes: float, threads: int) -> dict[str, float]:
    """Encode one recording; return its figures."""
    torch.set_num_threads(threads)
    encoder = Encoder.from_pretrained(checkpoint)
    encoder.encode(recording_of(n_channels, 10.0))
    begin, cpu = time.perf_counter(), time.process_time()
    processed = encoder.process(recording_of(n_channels, 60 * minutes))
    n_frames = sum(len(codes) for _, codes in encoder.feature_blocks(processed))
    work, cpu = time.perf_counter() - begin, time.process_time() - cpu
    return {
        "channels": n_channels,
        "minutes": minutes,
        "frames": n_frames,
        "hours_per_minute": minutes / work,
        "real_time_factor": 60 * minutes / work,
        "per_cpu_second": 60 * minutes / cpu,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def live_blocks(n_channels: int, seconds: float) -> Iterator[Block]:
    """Yield blocks of 80 ms."""
    size = round(BLOCK_S * SFREQ)
    for at in range(0, round(seconds * SFREQ), size):
        yield Block(noise(n_channels, at, at + size), at / SFREQ)


def live(checkpoint: Path, n_channels: int, seconds: float, threads: int) -> dict[str, float]:
    """Stream one recording; return its figures, calibration left out."""
    torch.set_num_threads(threads)
    encoder = Encoder.from_pretrained(checkpoint)
    stream = BrainStream(encoder, sensors_of(n_channels), SFREQ, StreamConfig(calibration_s=10.0))
    calls, cpu = [], []
    for block in live_blocks(n_channels, seconds + 12):
        begin, busy = time.perf_counter(), time.process_time()
        stream.push(block)
        if block.time is not None and block.time > 12:
            calls.append(time.perf_counter() - begin)
            cpu.append(time.process_time() - busy)
    assert stream.calibration is not None
    cfg = encoder.model.tokenizer.cfg
    return {
        "channels": n_channels,
        "seconds": seconds,
        "causal": cfg.causal,
        "block_ms_median": 1e3 * float(np.median(calls)),
        "block_ms_p99": 1e3 * float(np.quantile(calls, 0.99)),
        "cpu_ms_median": 1e3 * float(np.median(cpu)),
        "cpu_ms_p99": 1e3 * float(np.quantile(cpu, 0.99)),
        "code_waits_ms": 1e3 * (cfg.hop if cfg.causal else cfg.window) / cfg.sfreq,
        "filter_waits_ms": 1e3 * stream.calibration.delay_s,
        "real_time_factor": BLOCK_S * len(calls) / sum(calls),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def table(rows: list[dict[str, float]]) -> str:
    """Return figures as text."""
    lines = ["".join(f"{name:>18}" for name in rows[0])]
    lines += ["".join(f"{value:>18.4g}" for value in row.values()) for row in rows]
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--channels", type=int, nargs="+", default=[64, 306])
    parser.add_argument("--minutes", type=float, nargs="+", default=[1, 4, 30, 120])
    parser.add_argument("--live-seconds", type=float, default=60)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, help="JSON file for the figures.")
    args = parser.parse_args(argv)
    # A process of its own for each: the peak of one is not that of another.
    context = multiprocessing.get_context("spawn")
    found: dict[str, list[dict[str, float]]] = {"offline": [], "live": []}
    for n_channels in args.channels:
        jobs = [("offline", offline, minutes) for minutes in args.minutes]
        for kind, function, length in [*jobs, ("live", live, args.live_seconds)]:
            with context.Pool(1) as pool:
                row = pool.apply(function, (args.checkpoint, n_channels, length, args.threads))
            found[kind].append(row)
            print(json.dumps(row), flush=True)
    for kind, rows in found.items():
        print(f"{kind}\n{table(rows)}\n")
    if args.out is not None:
        args.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
