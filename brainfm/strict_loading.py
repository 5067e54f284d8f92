"""Weights into a module: all of them into all of it, or an error that lists what does not fit."""

from collections.abc import Mapping

from torch import Tensor, nn


def load_strictly(module: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Load all of ``tensors`` into all of ``module``, or raise and say what does not fit."""
    own = module.state_dict()
    problems = [f"missing {name}" for name in own if name not in tensors]
    problems += [f"unexpected {name}" for name in tensors if name not in own]
    for name in own.keys() & tensors.keys():
        have, want = tensors[name], own[name]
        if have.shape != want.shape:
            problems.append(f"{name} is {tuple(have.shape)}, expected {tuple(want.shape)}")
        elif have.dtype != want.dtype:
            problems.append(f"{name} is {have.dtype}, expected {want.dtype}")
    if problems:
        shown = "; ".join(sorted(problems)[:5])
        more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise ValueError(f"{where} does not fit its configuration: {shown}{more}")
    module.load_state_dict(tensors, strict=True)
