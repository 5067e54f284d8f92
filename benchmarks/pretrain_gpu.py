"""Training speed of the masked model on CUDA GPUs, by size, batch, context and engine.

Tokens per second in bf16 and their share of the rate at which the GPU multiplies large matrices,
measured in the same process (half a second, the best product counts). Each line is a fresh process
that trains with the trainer, the module and the callback that ``brainfm pretrain`` uses, on random
codes in memory: what reading costs is measured by benchmarks/pretrain.py. The first half of the
steps does not count. ``plain`` is a single GPU; ``ddp`` and ``zero_*`` take ``--devices``, all by
default, and are compared with it on one setting of each size (tokens per second of all GPUs
together). The aim is a share of 0.4 for base and above.

    python benchmarks/pretrain_gpu.py
    python benchmarks/pretrain_gpu.py --sizes base --windows 32 --contexts 30 --compile
    python benchmarks/pretrain_gpu.py --quick       # a minute on a CPU: does it run, no more
"""

import argparse
import datetime
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import resources
from typing import Any

ENGINES = ("plain", "ddp", "zero_1", "zero_2", "zero_3")
WINDOWS = {"nano": (8,), "tiny": (16, 64, 256), "base": (16, 64, 128), "large": (4, 16, 32)}
RESULT = "result: "


def random_data(context_s: float, windows: int, batches: int) -> Any:
    """Return a data module with random codes of the published tokenizer's shape, in memory."""
    import numpy as np
    import torch
    from lightning import LightningDataModule

    from brainfm.brain_tokenizer import TokenizerConfig
    from brainfm.checkpoints import ModelRecord
    from brainfm.code_loader import CodeBatch
    from brainfm.processing import ProcessingConfig

    cfg = TokenizerConfig()
    n_levels, size = cfg.quantizer.n_quantizers, cfg.quantizer.codebook_size
    shape = cfg.n_sources, n_levels

    class RandomCodes:
        tokenizer, n_frames = cfg, np.array([256])

        def read(self, i: int, start: int, n: int) -> np.ndarray:
            return np.random.default_rng(i).integers(0, size, (n, *shape), np.uint16)

    n_frames = int(context_s * cfg.sfreq / cfg.stride) * cfg.frames_per_window

    class RandomBatches:
        def __len__(self) -> int:
            return batches

        def __iter__(self) -> Iterator[CodeBatch]:
            generator = torch.Generator().manual_seed(0)
            codes = torch.randint(
                size, (windows, cfg.n_sources, n_frames, n_levels), generator=generator
            )
            for first in range(0, batches * windows, windows):
                start = torch.arange(first, first + windows)
                yield CodeBatch(codes, torch.zeros_like(start), start)

    class RandomData(LightningDataModule):
        codes, context_frames = RandomCodes(), n_frames
        tokenizer_record = ModelRecord(
            tokenizer=cfg, masked_model=None, processing=ProcessingConfig()
        )

        def indices(self, side: str) -> list[int]:
            return [0]

        def names(self, recordings: list[int]) -> list[str]:
            return ["random"]

        def code_vectors(self) -> tuple[torch.Tensor, torch.Tensor]:
            generator = torch.Generator().manual_seed(0)
            books = torch.randn(n_levels, size, cfg.width, generator=generator)
            return books, torch.randn(cfg.n_sources, cfg.width, generator=generator)

        def unigram(self) -> torch.Tensor:
            return torch.full((n_levels, size), 1 / size).log()

        def train_dataloader(self) -> RandomBatches:
            return RandomBatches()

    return RandomData()


def measure_here(
    size: str, engine: str, context_s: float, windows: int, args: argparse.Namespace
) -> dict[str, float]:
    """Train for some steps in this process (and those the engine starts) and return its speed."""
    import tempfile

    import torch
    import yaml
    from brainfm.pretrain.module import MaskedModule
    from lightning import Trainer

    from brainfm.masked_model import MaskedModelConfig
    from brainfm.masking import MaskConfig
    from brainfm.optimisation import OptimizerConfig
    from brainfm.strategies import register_strategies
    from brainfm.training_speed import TrainingSpeed

    class Measured(MaskedModule):
        def on_fit_start(self) -> None:
            """Keep nothing: there is no tokenizer to keep."""

    register_strategies()
    text = (resources.files("brainfm.configs") / f"pretrain_{size}.yaml").read_text()
    model = MaskedModelConfig(**yaml.safe_load(text)["model"]["model"])
    stage = Measured(
        model,
        MaskConfig(),
        OptimizerConfig(),
        compile=args.compile,
        activation_checkpointing=args.checkpointing,
    )
    on_gpu, speed = torch.cuda.is_available(), TrainingSpeed()
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            accelerator="gpu" if on_gpu else "cpu",
            devices=1 if engine == "plain" or not on_gpu else args.devices or -1,
            strategy="auto" if engine == "plain" else engine,
            precision="bf16-mixed" if on_gpu else "32-true",
            max_steps=2 * args.steps,
            log_every_n_steps=args.steps,
            gradient_clip_val=1.0,
            logger=False,
            callbacks=[speed],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=folder,
        )
        trainer.fit(stage, datamodule=random_data(context_s, windows, 2 * args.steps))
    found = {name.removeprefix("speed/"): value for name, value in speed.latest.items()}
    return found | {"devices": trainer.world_size}


def measure_one(words: list[str], args: argparse.Namespace) -> None:
    """Measure one setting in this process and print the result as JSON, on rank 0."""
    import torch

    size, engine, context_s, windows = words
    try:
        found = measure_here(size, engine, float(context_s), int(windows), args)
    except torch.cuda.OutOfMemoryError:
        found = {}
    if os.environ.get("LOCAL_RANK", "0") == "0":
        print(RESULT + json.dumps(found))


def measure(setting: tuple[str, str, float, int], args: argparse.Namespace) -> dict[str, float]:
    """Run :func:`measure_one` in a fresh process; empty if the memory does not suffice."""
    command = [sys.executable, __file__, f"--steps={args.steps}", f"--devices={args.devices}"]
    command += ["--compile"] * args.compile + ["--checkpointing"] * args.checkpointing
    command += ["--inner", *map(str, setting)]
    done = subprocess.run(command, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith(RESULT)]
    if done.returncode or not lines:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    return json.loads(lines[-1].removeprefix(RESULT))


def settings(args: argparse.Namespace) -> Iterator[tuple[str, str, float, int]]:
    """Yield what to measure: sizes, batches and contexts plain, then the engines on one setting."""
    for size in args.sizes:
        all_windows = args.windows or WINDOWS[size]
        for context_s in args.contexts:
            yield from ((size, "plain", context_s, windows) for windows in all_windows)
        middle = all_windows[len(all_windows) // 2]
        for engine in (name for name in args.engines if name != "plain"):
            yield size, engine, args.contexts[len(args.contexts) // 2], middle


def describe() -> str:
    """Return date, device and versions."""
    import torch

    device = "CPU"
    if torch.cuda.is_available():
        device = f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}"
    return f"{datetime.date.today()}, {device}, torch {torch.__version__}"


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", default=["tiny", "base", "large"])
    parser.add_argument("--windows", type=int, nargs="+", help="a batch of each GPU")
    parser.add_argument("--contexts", type=float, nargs="+", default=[10.0, 30.0, 150.0])
    parser.add_argument("--engines", nargs="+", default=list(ENGINES), choices=ENGINES)
    parser.add_argument("--devices", type=int, default=0, help="GPUs; 0 is all")
    parser.add_argument("--steps", type=int, default=20, help="that count; as many before")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--checkpointing", action="store_true", help="of activations")
    parser.add_argument("--quick", action="store_true", help="nano, a few steps, two engines")
    parser.add_argument("--inner", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.quick:
        args.sizes, args.windows, args.contexts, args.steps = ["nano"], [2], [10.0], 2
        args.engines = ["plain", "zero_2"]
    return args


def main() -> None:
    args = parse()
    if args.inner:
        return measure_one(args.inner, args)
    print(describe())
    columns = ("tokens/s", "h signal/s", "of matmul", "wait", "GB", "to plain")
    print(f"{'':<40}" + "".join(f"{name:>12}" for name in columns))
    plain: dict[tuple[str, float, int], float] = {}
    for setting in settings(args):
        size, engine, context_s, windows = setting
        found = measure(setting, args)
        name = f"{size}, {windows} x {context_s:g} s, {engine}"
        if not found:
            print(f"{name:<40}{'memory does not suffice':>36}", flush=True)
            continue
        name += f" on {found['devices']:.0f}" if engine != "plain" else ""
        rate = found["tokens_per_second"]
        alone = plain.setdefault((size, context_s, windows), rate) if engine == "plain" else None
        alone = alone or plain.get((size, context_s, windows), float("nan"))
        numbers = (
            f"{rate:>12.0f}",
            f"{found['signal_hours_per_second']:>12.3f}",
            f"{found['matmul_share']:>12.3f}",
            f"{found['data_wait_share']:>12.3f}",
            f"{found['memory_gb']:>12.2f}",
            f"{rate / alone:>12.2f}",
        )
        print(f"{name:<40}" + "".join(numbers), flush=True)


if __name__ == "__main__":
    main()
