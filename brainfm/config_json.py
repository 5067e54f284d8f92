"""Configs (frozen dataclasses) to JSON and back, strictly."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

T = TypeVar("T")


def to_json(cfg: Any) -> dict[str, Any]:
    """Return a config as JSON values: tuples become lists, nested configs become mappings."""
    if not dataclasses.is_dataclass(cfg) or isinstance(cfg, type):
        raise TypeError(f"not a config: {cfg!r}")
    return {f.name: _plain(getattr(cfg, f.name)) for f in dataclasses.fields(cfg) if f.init}


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return to_json(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def from_json(cls: type[T], values: Any, where: str) -> T:
    """Build a config from JSON values.

    Parameters
    ----------
    cls
        The dataclass.
    values
        What :func:`to_json` returned.
    where
        Named in errors, for example ``config.json: tokenizer``.

    Raises
    ------
    ValueError
        A key is unknown (a newer version wrote it) or missing, or the dataclass refuses a value.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f"{where} must be a mapping, got {type(values).__name__}")
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}  # type: ignore[arg-type]
    unknown = sorted(set(values) - set(fields))
    if unknown:
        raise ValueError(
            f"{where} has settings this version of brainfm does not know: {', '.join(unknown)}; "
            "it may have been written by a newer one"
        )
    missing = sorted(set(fields) - set(values))
    if missing:
        raise ValueError(f"{where} lacks {', '.join(missing)}; the file is damaged or too old")
    hints = typing.get_type_hints(cls)
    arguments = {
        name: _restore(hints[name], value, f"{where}.{name}") for name, value in values.items()
    }
    try:
        return cls(**arguments)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: {error}") from error


def _restore(hint: Any, value: Any, where: str) -> Any:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        hint = next(a for a in typing.get_args(hint) if a is not type(None))
        origin = typing.get_origin(hint)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return from_json(hint, value, where)
    if origin is tuple:
        return _restore_tuple(typing.get_args(hint), value, where)
    if origin is dict:
        if not isinstance(value, Mapping):
            raise ValueError(f"{where} must be a mapping, got {value!r}")
        inner = typing.get_args(hint)[1]
        return {key: _restore(inner, item, f"{where}.{key}") for key, item in value.items()}
    if origin is typing.Literal and value not in typing.get_args(hint):
        choices = ", ".join(map(repr, typing.get_args(hint)))
        raise ValueError(f"{where} must be one of {choices}, got {value!r}")
    if hint in (int, float, str, bool):
        allowed = (int, float) if hint is float else (hint,)
        if not isinstance(value, allowed) or (isinstance(value, bool) and hint is not bool):
            raise ValueError(f"{where} must be of type {hint.__name__}, got {value!r}")
    return value


def _restore_tuple(hints: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"{where} must be a list, got {value!r}")
    if len(hints) == 2 and hints[1] is Ellipsis:
        hints = (hints[0],) * len(value)
    if len(hints) != len(value):
        raise ValueError(f"{where} must have {len(hints)} entries, got {value!r}")
    return tuple(
        _restore(hint, item, f"{where}[{i}]")
        for i, (hint, item) in enumerate(zip(hints, value, strict=True))
    )
