"""Names of engines; what they do is tested in tests/distributed."""

import subprocess
import sys

import pytest
from lightning.pytorch.strategies import StrategyRegistry

from brainfm import strategies
from brainfm.strategies import register_strategies


def test_names_are_registered_once_and_again_without_complaint():
    register_strategies()
    register_strategies()
    assert {"zero_1", "zero_2", "zero_3"} <= set(StrategyRegistry.available_strategies())


def test_registering_imports_no_deepspeed():
    code = "import sys, brainfm.stage_cli as c; c.register_strategies(); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert "brainfm.strategies" in done.stdout.split()
    assert "deepspeed" not in done.stdout.split()


def test_without_deepspeed_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(strategies, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'brainfm-toolkit\[deepspeed\]'"):
        strategies.ZeroStrategy(stage=2)
