"""Seconds and memory of the quantizer at the published size, against vector-quantize-pytorch.

100,000 latents of 256 numbers, four levels of 512 codes: setting the codebooks by k-means, finding
the codes of all latents, and a training step (codes, averages, gradient). The plain side is the
library's ResidualVQ with its own k-means, distances and updates. Sides take turns; every
measurement has a process of its own (Linux). The latents lie near a bent surface of 24 dimensions,
as real ones do, with noise around it.

    python benchmarks/quantizer.py
    python benchmarks/quantizer.py --vectors 20000 --repeats 3 --threads 1
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

WIDTH, LEVELS, CODES = 256, 4, 512


def latents(n: int, seed: int):
    import torch
    import torch.nn.functional as F

    fixed, own = torch.Generator().manual_seed(0), torch.Generator().manual_seed(seed)
    inwards = torch.randn(24, WIDTH, generator=fixed) / 2
    mixed = torch.randn(WIDTH, WIDTH, generator=fixed) / WIDTH**0.5
    factors = torch.randn(n, 24, generator=own) * torch.linspace(2, 0.2, 24)
    noise = 0.02 * torch.randn(n, WIDTH, generator=own)
    return F.normalize((factors @ inwards).tanh() @ mixed + noise, dim=-1)


def megabytes(name: str) -> float:
    """Return a size that Linux keeps of this process: VmRSS (now) or VmHWM (peak)."""
    found = re.search(rf"{name}:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) / 1024


def timed(work: Callable[[], object]) -> dict[str, float]:
    """Return wall and processor seconds, and the peak of memory above where it began."""
    Path("/proc/self/clear_refs").write_text("5")  # forgets earlier peaks
    before = megabytes("VmRSS")
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return {
        "wall": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "megabytes": megabytes("VmHWM") - before,
    }


def measure(side: str, task: str, args: argparse.Namespace) -> dict[str, float]:
    """Do one task of one side in this process."""
    import torch
    from vector_quantize_pytorch import ResidualVQ

    from brainfm.quantizers import QuantizerConfig, build_quantizer

    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    ours = build_quantizer(QuantizerConfig(), WIDTH)
    plain = ResidualVQ(
        dim=WIDTH,
        num_quantizers=LEVELS,
        codebook_size=CODES,
        decay=0.99,
        kmeans_init=True,
        kmeans_iters=10,
        threshold_ema_dead_code=2,
        sync_codebook=False,
    )
    x = latents(args.vectors, seed=1)
    warm = x[: 2 * CODES]
    if task == "initialise":
        if side == "brainfm":
            ours.initialise(warm)
            result = timed(lambda: ours.initialise(x))
        else:
            # The library does it in its first training step, which is not counted: one follows.
            plain.train()(warm[None])
            for layer in plain.layers:
                layer._codebook.initted.fill_(False)
            result = timed(lambda: plain(x[None]))
            step = timed(lambda: plain(x[None]))
            result |= {key: result[key] - step[key] for key in ("wall", "cpu")}
            with torch.no_grad():
                for own, theirs in zip(ours.rvq.layers, plain.layers, strict=True):
                    own._codebook.load_state_dict(theirs._codebook.state_dict())
        held_out = latents(8192, seed=2)
        out = ours.eval()(held_out)
        result["error"] = float((out.values - held_out).square().sum(-1).mean())
        result["usage"] = sum(len(level.unique()) for level in out.codes.T) / LEVELS / CODES
        return result
    ours.initialise(x)
    for own, theirs in zip(ours.rvq.layers, plain.layers, strict=True):
        theirs._codebook.load_state_dict(own._codebook.state_dict())
    found: list[torch.Tensor] = []
    if task == "encode":
        ours.eval(), plain.eval()
        with torch.no_grad():
            run = {
                "brainfm": lambda: found.append(ours(x).codes),
                "plain": lambda: found.append(plain(x[None])[1][0]),
            }
            ours(warm), plain(warm[None])
            result = timed(run[side])
            if side == "brainfm" and args.compare:
                same = (found[0] == plain(x[None])[1][0]).all(-1)
                result["equal"] = float(same.float().mean())
        return result
    x.requires_grad_()

    def step() -> None:
        if side == "brainfm":
            out = ours.train()(x)
            (out.values.sum() + out.commitment).backward()
        else:
            values, _, losses = plain.train()(x[None])
            (values.sum() + losses.sum()).backward()

    return timed(step)


def apart(side: str, task: str, compare: bool, args: argparse.Namespace) -> dict[str, float]:
    """Measure in a new process."""
    command = [sys.executable, __file__, "--only", side, task]
    command += ["--vectors", str(args.vectors), "--threads", str(args.threads)]
    command += ["--compare"] if compare else []
    limits = {"OMP_NUM_THREADS": str(args.threads), "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(
        command, env=os.environ | limits, stdout=subprocess.PIPE, text=True, check=True
    )
    return dict(json.loads(done.stdout))


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--vectors", type=int, default=100_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--compare", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--only", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only:
        print(json.dumps(measure(*args.only, args)))
        return
    print(f"{args.vectors} latents x {WIDTH}, {LEVELS} levels x {CODES} codes, {args.threads} thr.")
    for task in ("initialise", "encode", "train step"):
        turns: dict[str, list[dict[str, float]]] = {"plain": [], "brainfm": []}
        for repeat in range(args.repeats):
            for side, results in turns.items():
                results.append(apart(side, task, compare=repeat == 0, args=args))
        middle = {
            side: {
                key: statistics.median(r[key] for r in results if key in r) for key in results[0]
            }
            for side, results in turns.items()
        }
        for side, found in middle.items():
            ratio = middle["plain"]["cpu"] / found["cpu"]
            print(
                f"{task:<11}{side:<8} {found['wall']:6.2f} s, {found['cpu']:6.2f} s of processor "
                f"({ratio:4.1f} x less), {found['megabytes']:6.0f} MB"
                + "".join(
                    f", {name} {found[name]:.6g}"
                    for name in ("error", "usage", "equal")
                    if name in found
                ),
                flush=True,
            )


if __name__ == "__main__":
    main()
