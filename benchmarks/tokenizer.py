"""Time and memory of the tokenizer at the published size against a plain formulation.

One batch of 10 s at 256 Hz with 64 EEG and with 306 MEG channels, forward (evaluation) and forward
+ backward (training), 2 threads. Three sides take turns: the published architecture written down
plainly, the same function as brainfm computes it ("brainomni"), and our own architecture at the
same size and bit rate ("brainfm"). Each measurement is a fresh process, which also measures the
machine's own float32 matrix products. Seconds are the best of
several calls after one that does not count; the peak is the whole process's. On a busy machine look
at the CPU seconds.

    python benchmarks/tokenizer.py
    python benchmarks/tokenizer.py --channels 306 --recompute never --repeats 3
"""

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

# Published code on the same kind of machine: seconds and GB, forward and with backward.
RELEASED = {64: ((2.5, 0.75), (4.1, 1.6)), 306: ((11.1, 1.1), (25.4, 4.8))}
SFREQ, SECONDS = 256, 10
SIDES = ("plain", "brainomni", "brainfm")
RECOMPUTE = {"auto": None, "never": False, "always": True}


def best(call: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Return wall and CPU seconds of the fastest of ``repeats`` calls after a first one."""
    call()
    times = []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        call()
        times.append((time.perf_counter() - wall, time.process_time() - cpu))
    return min(t[0] for t in times), min(t[1] for t in times)


def forward_work(cfg: Any, n_channels: int) -> float:
    """Return the floating-point operations of the products in a forward pass, two each."""
    windows = math.ceil(SFREQ * SECONDS / cfg.window)
    n, frames, width = cfg.n_sources, cfg.frames_per_window * windows, cfg.width
    levels = cfg.quantizer.n_quantizers * cfg.quantizer.codebook_size
    if cfg.architecture == "brainfm":
        token = 2 * 3 * cfg.hop * width + 2 * cfg.depth * 7 * width**2 + levels * width
        return 2 * n * (frames * token + 2 * n_channels * windows * cfg.window)
    length, dim = cfg.window, cfg.n_filters
    row = length * cfg.kernel_size * dim  # of the encoder
    for ratio in reversed(cfg.ratios):
        row += length * (3 * dim * dim // 2 + dim * dim // 2 + dim * dim)
        length //= ratio
        row += length * 2 * ratio * dim * 2 * dim
        dim *= 2
    row += length * cfg.lstm_layers * 8 * dim * dim
    row += length * cfg.last_kernel_size * dim * cfg.width
    attention = frames * (4 * n_channels * n * width + (3 * n_channels + 3 * n) * width**2)
    return 2 * (2 * row * n_channels * windows + attention + frames * n * levels * width)


def measure_one(side: str, mode: str, args: argparse.Namespace) -> None:
    """Measure one side in this process and print the result as JSON."""
    import torch
    from plain_tokenizer import check_same_function, run_plain

    from brainfm.brain_tokenizer import BrainTokenizer, TokenizerConfig

    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    (n_channels,) = args.channels
    cfg = TokenizerConfig(
        architecture="brainfm" if side == "brainfm" else "brainomni",
        recompute=RECOMPUTE[args.recompute],
    )
    tokenizer = BrainTokenizer(cfg)
    latents = torch.nn.functional.normalize(torch.randn(2048, tokenizer.cfg.width), dim=-1)
    tokenizer.quantizer.initialise(latents)
    tokenizer.train(mode == "backward")
    x = torch.randn(1, n_channels, SFREQ * SECONDS)
    positions = 0.1 * torch.nn.functional.normalize(torch.randn(1, n_channels, 3), dim=-1)
    meg = n_channels > 128
    orientations = positions * 10 if meg else torch.zeros_like(positions)
    types = torch.full((1, n_channels), int(meg))
    mask = torch.ones(1, n_channels, dtype=torch.bool)

    def forward() -> torch.Tensor:
        sensors = tokenizer.embed_sensors(positions, orientations, types, mask)
        windows = tokenizer.cut(x)
        if side == "plain":
            waveform, commitment = run_plain(tokenizer, windows, sensors.embedding)
        else:
            result = tokenizer(windows, sensors, sensors)
            waveform, commitment = result.waveform, result.quantized.commitment
        return (waveform - windows).abs().mean() + commitment

    def step() -> None:
        with torch.set_grad_enabled(mode == "backward"):
            loss = forward()
        if mode == "backward":
            tokenizer.zero_grad()
            loss.backward()

    wall, cpu = best(step, args.repeats)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    a = torch.randn(2048, 2048)
    rate = 2 * 2048**3 / best(lambda: a @ a, 10)[0]
    work = forward_work(tokenizer.cfg, n_channels) * (3 if mode == "backward" else 1)
    if side != "brainfm":
        sensors = tokenizer.eval().embed_sensors(positions, orientations, types, mask)
        difference = check_same_function(tokenizer, tokenizer.cut(x)[:, :, :1], sensors)
        assert difference < 1e-4, f"the two sides differ by {difference:g}"
    share = work / wall / rate
    print(json.dumps({"wall": wall, "cpu": cpu, "peak": peak, "share": share, "rate": rate}))


def measure(side: str, mode: str, n_channels: int, args: argparse.Namespace) -> dict[str, float]:
    """Run :func:`measure_one` in a fresh process."""
    options = [f"--{n}={getattr(args, n)}" for n in ("threads", "repeats", "recompute")]
    command = [sys.executable, __file__, "--inner", side, mode, "--channels", str(n_channels)]
    # Threads that wait must not count as work.
    environment = os.environ | {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": str(args.threads)}
    done = subprocess.run([*command, *options], stdout=subprocess.PIPE, env=environment, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--channels", type=int, nargs="+", default=[64, 306])
    parser.add_argument("--modes", nargs="+", default=["forward", "backward"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--recompute", default="auto", choices=tuple(RECOMPUTE))
    parser.add_argument("--inner", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.inner:
        return measure_one(*args.inner, args)
    head = f"{'wall s':>9}{'CPU s':>9}{'peak GB':>9}{'share':>8}"
    print(f"{SECONDS} s at {SFREQ} Hz, {args.threads} threads; share of the machine's matrix rate")
    print(f"{'':<32}{head}")
    for n_channels in args.channels:
        for mode in args.modes:
            sides = {s: measure(s, mode, n_channels, args) for s in SIDES}
            for side, r in sides.items():
                numbers = f"{r['wall']:>9.2f}{r['cpu']:>9.2f}{r['peak']:>9.2f}{r['share']:>8.2f}"
                print(f"{f'{n_channels} channels, {mode}, {side}':<32}{numbers}")
            for side in SIDES[1:]:
                ours, plain = sides[side], sides["plain"]
                ratios = "".join(f"{ours[n] / plain[n]:>9.3f}" for n in ("wall", "cpu", "peak"))
                print(f"{f'  {side} / plain':<32}{ratios}  (target: 0.5)")
                if n_channels in RELEASED:
                    seconds, gigabytes = RELEASED[n_channels][mode == "backward"]
                    print(
                        f"  of the released code's {seconds} s and {gigabytes} GB (measured "
                        f"elsewhere): {ours['wall'] / seconds:.3f} and "
                        f"{ours['peak'] / gigabytes:.2f}",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
