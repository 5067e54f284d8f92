"""Starting the ranks of a run as torchrun would, and never waiting for them for ever."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

TIMEOUT_S = 240
"""The first start with DeepSpeed compiles an operator for about 40 s, more on a busy machine."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def unused_port() -> int:
    return free_port()


def variables(rank: int, n: int, port: int) -> dict[str, str]:
    """What torchrun would tell a rank of one node."""
    told = {
        "RANK": rank,
        "LOCAL_RANK": rank,
        "GROUP_RANK": 0,
        "WORLD_SIZE": n,
        "LOCAL_WORLD_SIZE": n,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
        "TORCHELASTIC_RUN_ID": "test",
        "OMP_NUM_THREADS": 1,
        "DS_ACCELERATOR": "cpu",
    }
    return os.environ | {key: str(value) for key, value in told.items()}


def launcher(folder: Path):
    """Yield a function that runs a worker script on n ranks and gives what each wrote.

    ``statuses`` are the exit statuses expected; ``said`` of the function is what the ranks of the
    last call printed. A rank that stopped itself is killed when another has ended.
    """
    started = []

    def run(script: str, *arguments: str, n: int = 2, statuses=None) -> list[dict]:
        out = folder / f"{len(started)}"
        out.mkdir(parents=True)
        port = free_port()
        command = [sys.executable, str(Path(__file__).parent / script), *arguments, str(out)]
        for rank in range(n):
            started.append(
                subprocess.Popen(
                    command,
                    env=variables(rank, n, port),
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                )
            )
        mine, expected = started[-n:], list(statuses or [0] * n)
        # Those that do not end by themselves come last.
        run.said = [""] * n
        for rank in sorted(range(n), key=lambda rank: expected[rank] == -signal.SIGKILL):
            if expected[rank] == -signal.SIGKILL:
                mine[rank].kill()
            run.said[rank], _ = mine[rank].communicate(timeout=TIMEOUT_S)
        assert [process.returncode for process in mine] == expected, "".join(run.said)[-6000:]
        notes = [out / f"{rank}.json" for rank in range(n)]
        return [json.loads(path.read_text()) if path.exists() else {} for path in notes]

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait()


@pytest.fixture
def ranks(tmp_path):
    """Return a function that runs a worker script on n ranks (:func:`launcher`)."""
    yield from launcher(tmp_path / "ranks")


@pytest.fixture(scope="session")
def alone(coded, tmp_path_factory):
    """The small run on one rank, with nothing that interrupts it: its folder and its notes."""
    folder = tmp_path_factory.mktemp("alone")
    run = launcher(folder / "ranks")
    (notes,) = next(run)(
        "pretrain_worker.py", str(coded), str(folder / "run"), "auto", "never", n=1
    )
    run.close()
    return folder / "run", notes


@pytest.fixture(scope="session")
def coded(noise_corpus, tiny_model, tmp_path_factory) -> Path:
    """A folder with a corpus, its codes (2 levels of 8) and ``run.yaml``, a small run on them."""
    from brainfm.checkpoints import save_checkpoint
    from brainfm.cli import main

    folder = tmp_path_factory.mktemp("coded")
    corpus = noise_corpus(folder / "corpus", n=6, seconds=24.0)
    tokenizer = save_checkpoint(tiny_model(masked=None), folder / "tokenizer")
    words = ["codes", str(corpus), "--tokenizer", str(tokenizer), "--out", str(folder / "codes")]
    assert main(words) == 0
    run = {
        "data": {
            "codes": f"{folder}/codes",
            "split": f"{corpus}/split.json",
            "context_s": 2,
            "windows_per_batch": None,
            "global_batch": 6,  # an epoch has 36 windows: every batch is whole on one and two ranks
        },
        "model": {
            "model": {"width": 16, "n_heads": 2, "depth": 2, "dropout": 0},
            "optimizer": {"warmup_steps": 2},
        },
        "trainer": {
            "max_steps": 9,
            "val_check_interval": 1000,
            "log_every_n_steps": 1,
            "enable_progress_bar": False,
        },
        "checkpoints": {"every_steps": 2},
    }
    (folder / "run.yaml").write_text(yaml.safe_dump(run))
    return folder
