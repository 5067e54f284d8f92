"""Starting the ranks of a run as torchrun would, and never waiting for them for ever."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

TIMEOUT_S = 240
"""The first start with DeepSpeed compiles an operator for about 40 s, more on a busy machine."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def ranks(tmp_path):
    """Return a function that runs a worker script on n ranks and gives what each wrote."""
    started = []

    def run(script: str, *arguments: str, n: int = 2) -> list[dict]:
        out = tmp_path / f"{len(started)}"
        out.mkdir()
        port = free_port()
        for rank in range(n):
            variables = {
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
            command = [sys.executable, str(Path(__file__).parent / script), *arguments, str(out)]
            started.append(
                subprocess.Popen(
                    command,
                    env=os.environ | {key: str(value) for key, value in variables.items()},
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                )
            )
        for process in started[-n:]:
            said, _ = process.communicate(timeout=TIMEOUT_S)
            assert process.returncode == 0, said[-6000:]
        return [json.loads((out / f"{rank}.json").read_text()) for rank in range(n)]

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait()
