"""What stored codes save in pretraining, and what a step costs by context, depth and memory.

On synthetic data: noise of 64 and of 306 channels in a temporary folder, a tokenizer of the
published size with random weights, whose codebooks are a k-means of random latents. A step is a
training step (half of the tokens hidden, backward pass, AdamW) of the masked model of size "tiny";
the wait for the loader is measured at size "nano". On a CPU, in one run:

- the most memory of a process with and without activation checkpointing, in a process each;
- tokens per second from stored codes against computing them for every batch, windows of 10 s, with
  the published architecture of the tokenizer (targets: 1.5 and 3.5 times) and with this project's;
  on a busy machine look at the ratio of CPU seconds;
- the share of a step that waits for the loader (target: under 5 %);
- seconds per step and tokens per second by context and by depth.

    python benchmarks/pretrain.py
    python benchmarks/pretrain.py --quick
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

TINY = {"width": 256, "n_heads": 8, "depth": 12}
NANO = {"width": 128, "n_heads": 4, "depth": 3}
FULL: dict[str, Any] = {
    "channels": {64: 1.5, 306: 3.5},  # with the target
    "tokenizer": {},
    "tiny": TINY,
    "recordings": 3,
    "recording_s": 45.0,
    "windows": 4,
    "repeats": 5,
    "loader_steps": 150,
    "contexts_s": (10, 30, 75, 150),
    "depths": (3, 6, 12, 24),
    "memory_s": 30,
}
QUICK: dict[str, Any] = FULL | {
    "channels": {4: 0.0, 6: 0.0},
    "tokenizer": {"n_filters": 4, "width": 32, "n_sources": 4},
    "tiny": {"width": 32, "n_heads": 2, "depth": 2},
    "recordings": 2,
    "recording_s": 24.0,
    "windows": 2,
    "repeats": 2,
    "loader_steps": 5,
    "contexts_s": (10, 30),
    "depths": (1, 2),
    "memory_s": 10,
}


def masked_model(sizes: dict[str, int], cfg: Any) -> Any:
    """Make a masked model on random codebooks of the tokenizer's sizes."""
    import torch

    from brainfm.masked_model import MaskedBrainModel, MaskedModelConfig

    torch.manual_seed(0)
    codebooks = torch.randn(cfg.quantizer.n_quantizers, cfg.quantizer.codebook_size, cfg.width)
    codebooks *= cfg.width**-0.5
    config = MaskedModelConfig(**sizes, dropout=0.1)
    return MaskedBrainModel(config, codebooks, torch.randn(cfg.n_sources, cfg.width))


def training_step(model: Any) -> Callable[[Any], None]:
    """Return a function that trains on codes (B, N, P, Q)."""
    import torch
    import torch.nn.functional as F

    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)

    def step(codes: Any) -> None:
        hidden = torch.rand(codes.shape[:3]) < 0.5
        at = hidden.flatten().nonzero().squeeze(1)
        logits = model(codes, hidden, at=at)
        loss = F.cross_entropy(logits.flatten(0, 1), codes.flatten(0, 2)[at].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def seconds(call: Callable[[], object], repeats: int) -> float:
    """Return the median of several calls after one that does not count."""
    call()
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def endless(loader: Any) -> Iterator[Any]:
    """Yield the batches of epoch after epoch."""
    while True:
        yield from loader


def frames_of(context_s: float, cfg: Any) -> int:
    return int(context_s * cfg.sfreq) // cfg.hop


def compare_stored(folder: Path, n_channels: int, architecture: str, scale: dict) -> dict:
    """Return tokens per second of training on stored codes, and of computing them each time."""
    from synthetic_corpus import make_codes, make_corpus, make_tokenizer

    from brainfm.code_loader import CodeLoader
    from brainfm.online_codes import OnlineCodes, SignalLoader

    place = folder / f"{n_channels}-{architecture}"
    place.mkdir()
    corpus = folder / f"corpus{n_channels}"
    if not corpus.exists():
        make_corpus(corpus, n_channels, scale["recordings"], scale["recording_s"])
    cfg = make_tokenizer(place / "tokenizer", architecture=architecture, **scale["tokenizer"])
    stored = make_codes(corpus, place / "tokenizer", place / "codes")
    online = OnlineCodes(corpus, place / "tokenizer")
    n_frames = frames_of(10, cfg)
    sizes = {"context_frames": n_frames, "windows_per_batch": scale["windows"]}
    every = range(len(stored))
    cached = endless(CodeLoader(stored, every, **sizes))
    signals = endless(SignalLoader(online, every, **sizes))
    step = training_step(masked_model(scale["tiny"], cfg))
    wall: dict[str, list[float]] = {"stored": [], "computed": []}
    cpu: dict[str, list[float]] = {"stored": [], "computed": []}

    def timed(name: str, codes: Callable[[], Any]) -> None:
        begin, begin_cpu = time.perf_counter(), time.process_time()
        batch = codes()
        step(batch)
        n_tokens = batch[..., 0].numel()
        wall[name].append((time.perf_counter() - begin) / n_tokens)
        cpu[name].append((time.process_time() - begin_cpu) / n_tokens)

    for _ in range(1 + scale["repeats"]):  # in turns; the first does not count
        timed("stored", lambda: next(cached).codes)
        timed("computed", lambda: online.encode(next(signals), n_frames).codes)
    per_token = {name: statistics.median(values[1:]) for name, values in wall.items()}
    return {
        "rates": {name: 1 / value for name, value in per_token.items()},
        "ratio": per_token["computed"] / per_token["stored"],
        "cpu_ratio": statistics.median(cpu["computed"][1:]) / statistics.median(cpu["stored"][1:]),
        "codes": stored,
        "cfg": cfg,
    }


def loader_share(codes: Any, cfg: Any, scale: dict) -> tuple[float, float]:
    """Return the share of time that waits for batches at size nano, and seconds per step."""
    from brainfm.code_loader import CodeLoader

    step = training_step(masked_model(NANO, cfg))
    n_frames = frames_of(10, cfg)
    loader = CodeLoader(codes, range(len(codes)), context_frames=n_frames, windows_per_batch=4)
    batches = endless(loader)
    step(next(batches).codes)
    waited, begin = 0.0, time.perf_counter()
    for _ in range(scale["loader_steps"]):
        asked = time.perf_counter()
        batch = next(batches)
        waited += time.perf_counter() - asked
        step(batch.codes)
    total = time.perf_counter() - begin
    return waited / total, total / scale["loader_steps"]


def cost(sizes: dict[str, int], context_s: float, cfg: Any, repeats: int) -> tuple[float, float]:
    """Return seconds of a step on one window, and its tokens per second."""
    import torch

    shape = (1, cfg.n_sources, frames_of(context_s, cfg), cfg.quantizer.n_quantizers)
    codes = torch.randint(cfg.quantizer.codebook_size, shape)
    step = training_step(masked_model(sizes, cfg))
    spent = seconds(lambda: step(codes), repeats)
    return spent, shape[1] * shape[2] / spent


def peak_memory(checkpointing: bool, scale: dict) -> None:
    """Print the most memory of this process, MB, after steps with or without checkpointing."""
    import torch

    from brainfm.brain_tokenizer import TokenizerConfig

    cfg = TokenizerConfig(**scale["tokenizer"])
    model = masked_model(scale["tiny"], cfg)
    model.activation_checkpointing = checkpointing
    step = training_step(model)
    n_frames = frames_of(scale["memory_s"], cfg)
    codes = torch.randint(512, (1, cfg.n_sources, n_frames, cfg.quantizer.n_quantizers))
    step(codes[:, :, : n_frames // 8])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    begin = time.perf_counter()
    step(codes)
    spent = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(json.dumps({"peak": peak, "grown": peak - before, "seconds": spent}))


def report_memory(args: argparse.Namespace, scale: dict) -> None:
    found = {}
    for checkpointing in (False, True):
        command = [sys.executable, __file__, f"--threads={args.threads}"]
        command += ["--quick"] * args.quick + ["--memory", str(int(checkpointing))]
        done = subprocess.run(command, stdout=subprocess.PIPE, env=os.environ, check=True)
        found[checkpointing] = json.loads(done.stdout.splitlines()[-1])
    print(f"\nmemory of a process, tiny, one window of {scale['memory_s']} s")
    print(f"{'activation checkpointing':<26}{'peak MB':>9}{'s/step':>9}")
    for checkpointing, r in found.items():
        print(f"{'on' if checkpointing else 'off':<26}{r['peak']:>9.0f}{r['seconds']:>9.2f}")
    without, with_ = found[False], found[True]
    ratios = f"{with_['peak'] / without['peak']:>9.2f}{with_['seconds'] / without['seconds']:>9.2f}"
    print(f"{'  ratio':<26}{ratios}", flush=True)


def report_stored(folder: Path, scale: dict) -> dict:
    print(f"\ntokens per second of training (tiny, {scale['windows']} windows of 10 s in a batch)")
    head = f"{'stored':>9}{'computed':>10}{'ratio':>8}{'CPU':>8}"
    print(f"{'channels, tokenizer':<26}{head}  target")
    for architecture in ("brainomni", "brainfm"):
        for n_channels, target in scale["channels"].items():
            r = compare_stored(folder, n_channels, architecture, scale)
            goal = f"{target:g}" if architecture == "brainomni" and target else "none"
            rates = f"{r['rates']['stored']:>9.0f}{r['rates']['computed']:>10.0f}"
            ratios = f"{r['ratio']:>8.2f}{r['cpu_ratio']:>8.2f}"
            print(f"{f'{n_channels}, {architecture}':<26}{rates}{ratios}  {goal}", flush=True)
    return r


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="Toy sizes, to see that it runs.")
    parser.add_argument("--memory", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    import torch

    torch.set_num_threads(args.threads)
    scale = QUICK if args.quick else FULL
    if args.memory is not None:
        return peak_memory(bool(args.memory), scale)
    print(f"synthetic data, {args.threads} threads{', toy sizes' * args.quick}")
    # First: a process counts what the one that started it had used until then.
    report_memory(args, scale)
    with tempfile.TemporaryDirectory() as name:
        r = report_stored(Path(name), scale)
        share, spent = loader_share(r["codes"], r["cfg"], scale)
    print(f"\nwait for the loader at nano size: {share:.2%} of {1e3 * spent:.0f} ms (target: 5 %)")
    print(f"\n{'tiny, one window of':<26}{'s/step':>9}{'tokens/s':>10}")
    for context_s in scale["contexts_s"]:
        spent, rate = cost(scale["tiny"], context_s, r["cfg"], scale["repeats"] // 2)
        print(f"{f'{context_s} s':<26}{spent:>9.2f}{rate:>10.0f}", flush=True)
    print(f"\n{'10 s, blocks of tiny':<26}{'s/step':>9}{'tokens/s':>10}")
    for depth in scale["depths"]:
        sizes = scale["tiny"] | {"depth": depth}
        spent, rate = cost(sizes, 10, r["cfg"], scale["repeats"] // 2)
        print(f"{depth:<26}{spent:>9.2f}{rate:>10.0f}", flush=True)


if __name__ == "__main__":
    main()
