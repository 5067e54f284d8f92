"""``brainfm tokenizer fit`` on two processes: it trains, and the codebooks are the same on both."""

import hashlib
import importlib.util
import subprocess
import sys

import pytest

from brainfm.export import export_run

pytestmark = [pytest.mark.slow, pytest.mark.distributed, pytest.mark.timeout(300)]

needs_deepspeed = [
    pytest.mark.deepspeed,
    pytest.mark.skipif(
        importlib.util.find_spec("deepspeed") is None,
        reason="DeepSpeed is not installed: pip install -e .[deepspeed]",
    ),
]


@pytest.mark.parametrize(
    ("strategy", "kind", "name"),
    [
        ("ddp", "fsq", "DDPStrategy"),
        pytest.param("zero_2", "rvq", "ShardingAll", marks=needs_deepspeed),
        pytest.param("zero_3", "rvq", "ShardingAll", marks=needs_deepspeed),
    ],
)
def test_the_command_trains_on_two_ranks(ranks, noise_corpus, tmp_path, strategy, kind, name):
    corpus = noise_corpus(tmp_path / "corpus", n=5, seconds=8.0)
    run = tmp_path / "run"
    first, second = ranks("tokenizer_worker.py", strategy, kind, str(corpus), str(run))
    assert first == second
    assert (first["world_size"], first["strategy"], first["steps"]) == (2, name, 6)
    assert first["initialised"]
    for side in ("train", "validation"):
        for level in (0, 1):
            for measure in ("usage", "perplexity", "bits_per_second"):
                assert f"{side}/{measure}_{level}" in first["logged"]
    # Codebooks are averages in buffers: the export has them as every rank does.
    exported = export_run(run, tmp_path / "out").tokenizer
    assert buffers_digest(exported.quantizer) == first["buffers"]
    code = f"import sys, brainfm; brainfm.from_pretrained({str(tmp_path / 'out')!r})"
    code += "; print(sorted({'deepspeed', 'lightning'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def buffers_digest(module):
    content = b"".join(buffer.numpy().tobytes() for buffer in module.buffers())
    return hashlib.sha256(content).hexdigest()
