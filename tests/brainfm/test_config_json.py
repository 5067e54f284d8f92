"""Configs to JSON and back: nothing unknown, nothing missing, nothing of another type."""

import json
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from brainfm.brain_tokenizer import TokenizerConfig
from brainfm.checkpoints import ModelRecord
from brainfm.config_json import from_json, to_json
from brainfm.masked_model import MaskedModelConfig
from brainfm.processing import ProcessingConfig
from brainfm.quantizers import QuantizerConfig


@dataclass(frozen=True, kw_only=True)
class Inner:
    size: int = 1


@dataclass(frozen=True, kw_only=True)
class Outer:
    rate: float = 1.0
    on: bool = True
    name: str = "a"
    sizes: tuple[int, ...] = (1, 2)
    pair: tuple[float, float] = (0.9, 0.95)
    table: dict[str, int] = field(default_factory=dict)
    kind: Literal["x", "y"] = "x"
    limit: int | None = None
    inner: Inner | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.rate < 0:
            raise ValueError(f"rate must not be negative, got {self.rate}")


def through_json(cfg):
    return from_json(type(cfg), json.loads(json.dumps(to_json(cfg))), "file")


@pytest.mark.parametrize(
    "cfg",
    [
        Outer(),
        Outer(limit=3, inner=Inner(size=4), table={"b": 2}, sizes=(), extra={"x": [1, None]}),
        TokenizerConfig(ratios=(4, 2), quantizer=QuantizerConfig(codebook_dim=8), window=64),
        MaskedModelConfig(rotary="cosine_only", swap_halves=True),
        ProcessingConfig(),
        ModelRecord(
            tokenizer=TokenizerConfig(),
            masked_model=MaskedModelConfig(),
            processing=ProcessingConfig(l_freq=0.5),
            training={"hours": 1.5, "datasets": ["a (CC0)"]},
        ),
        ModelRecord(tokenizer=TokenizerConfig(), masked_model=None, processing=ProcessingConfig()),
    ],
    ids=lambda cfg: type(cfg).__name__,
)
def test_what_is_written_is_read_back(cfg):
    assert through_json(cfg) == cfg


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": "red"}, "file has settings this version of brainfm does not know: colour"),
        ({"rate": "fast"}, r"file\.rate must be of type float, got 'fast'"),
        ({"rate": True}, r"file\.rate must be of type float, got True"),
        ({"on": 1}, r"file\.on must be of type bool, got 1"),
        ({"name": None}, r"file\.name must be of type str, got None"),
        ({"limit": 1.5}, r"file\.limit must be of type int, got 1.5"),
        ({"limit": True}, r"file\.limit must be of type int, got True"),
        ({"sizes": 3}, r"file\.sizes must be a list, got 3"),
        ({"sizes": [1, "2"]}, r"file\.sizes\[1\] must be of type int, got '2'"),
        ({"pair": [0.9]}, r"file\.pair must have 2 entries, got \[0.9\]"),
        ({"table": [1]}, r"file\.table must be a mapping, got \[1\]"),
        ({"table": {"b": "2"}}, r"file\.table\.b must be of type int, got '2'"),
        ({"kind": "z"}, r"file\.kind must be one of 'x', 'y', got 'z'"),
        ({"inner": {"size": 1, "depth": 2}}, r"file\.inner has settings .* depth"),
        ({"inner": {}}, r"file\.inner lacks size"),
        ({"inner": 3}, r"file\.inner must be a mapping, got int"),
        ({"rate": -1.0}, r"file: rate must not be negative, got -1.0"),
    ],
)
def test_anything_else_is_one_clear_line(change, message):
    with pytest.raises(ValueError, match=message) as error:
        from_json(Outer, to_json(Outer()) | change, "file")
    assert "\n" not in str(error.value)


def test_every_missing_setting_is_named():
    values = to_json(Outer())
    del values["rate"], values["name"]
    with pytest.raises(ValueError, match="file lacks name, rate; the file is damaged or too old"):
        from_json(Outer, values, "file")


def test_only_configs_are_written():
    for value in (Outer, {"rate": 1.0}):
        with pytest.raises(TypeError, match="not a config"):
            to_json(value)
