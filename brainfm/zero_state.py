"""The state of a ZeRO engine as one process without it would hold it, and back.

DeepSpeed spreads weights and optimizer over the ranks. Put together again, they are the same for
any number of ranks and for any engine, so one checkpoint file serves all of them. Rank 0 must have
room for it in its host's memory: 12 bytes a parameter with AdamW. Every function here takes part in
collectives: all ranks must call it.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

FLAT_GROUPS = (
    "single_partition_of_fp32_groups",  # ZeRO-1 and 2
    "fp32_partitioned_groups_flat",  # ZeRO-3
    "fp32_groups_flat_partition",  # ZeRO-1 with bf16 weights and float32 sums of gradients
)
"""Where DeepSpeed's optimizers keep this rank's share of the float32 weights."""

Groups = Sequence[Sequence[nn.Parameter]]


def gather_weights(module: nn.Module, trained: Groups, *, keep: bool) -> dict[str, Tensor]:
    """Return all weights and buffers by name, in float32 where the engine rounds them.

    Parameters
    ----------
    module
        What the engine trains.
    trained
        Parameters of every optimizer group.
    keep
        Whether this rank wants them; the others get an empty dictionary.
    """
    masters = {id(p) for group in trained for p in group}
    found: dict[str, Tensor] = {}
    for name, value in module.state_dict(keep_vars=True).items():
        if isinstance(value, nn.Parameter):
            full = _master(value) if id(value) in masters else _whole(value)
        else:
            full = value.detach()
        if keep:
            found[name] = _widened(full).to("cpu", copy=True)
    return found


def scatter_weights(module: nn.Module, trained: Groups, weights: Mapping[str, Tensor]) -> None:
    """Give every rank its share of the weights, and all of the buffers.

    Raises
    ------
    ValueError
        A tensor is missing, left over or of another shape.
    """
    own = module.state_dict(keep_vars=True)
    shapes = {name: getattr(value, "ds_shape", value.shape) for name, value in own.items()}
    wrong = sorted(own.keys() ^ weights.keys())
    wrong += [n for n in own.keys() & weights.keys() if shapes[n] != weights[n].shape]
    if wrong:
        raise ValueError(
            f"the checkpoint does not fit the model: {', '.join(wrong[:5])} missing, left over or "
            "of another shape; resume with the settings it was saved with"
        )
    masters = {id(p) for group in trained for p in group}
    with torch.no_grad():
        for name, value in own.items():
            with _assembled(value, write=True):
                value.data.copy_(weights[name])
            if id(value) in masters:
                _set_share(value, weights[name], None)


def gather_optimizer(zero: Any, trained: Groups, *, keep: bool) -> dict[str, Any]:
    """Return the optimizer's state as ``torch.optim`` saves it, parameters in their first order.

    ``zero`` is the engine's optimizer. Ranks that do not ``keep`` it get its settings only.
    """
    from deepspeed.utils import safe_get_full_optimizer_state

    base = zero.optimizer
    flat_states = [base.state[flat] for flat in _flat_groups(zero) if base.state.get(flat)]
    begun = flat_states[0] if flat_states else {}
    shared = {key: value for key, value in begun.items() if _is_single(value)}
    _find_states(zero)
    divided = [key for key in begun if key not in shared]  # in the same order on all ranks
    state: dict[int, dict[str, Any]] = {}
    for index, parameter in enumerate(p for group in trained for p in group):
        if not begun:
            break
        entry = {key: _copied(value) for key, value in shared.items()}
        for key in divided:
            full = safe_get_full_optimizer_state(parameter, key)
            if keep:
                entry[key] = full.detach().to("cpu", copy=True)
        if keep:
            state[index] = entry
    groups, first = [], 0
    for settings, parameters in zip(base.param_groups, trained, strict=True):
        rest = {key: value for key, value in settings.items() if key != "params"}
        groups.append(rest | {"params": list(range(first, first + len(parameters)))})
        first += len(parameters)
    return {"state": state, "param_groups": groups}


def scatter_optimizer(zero: Any, trained: Groups, saved: Mapping[str, Any]) -> None:
    """Give every rank its share of what :func:`gather_optimizer`, or ``torch.optim``, saved."""
    base = zero.optimizer
    sizes = [len(group["params"]) for group in saved["param_groups"]]
    if sizes != [len(group) for group in trained]:
        raise ValueError(
            f"the checkpoint's optimizer has groups of {sizes} parameters, the model has "
            f"{[len(group) for group in trained]}; resume with the settings it was saved with"
        )
    for settings, group in zip(base.param_groups, saved["param_groups"], strict=True):
        settings.update({key: value for key, value in group.items() if key != "params"})
    if not saved["state"]:
        return
    first = next(iter(saved["state"].values()))
    for flat in _flat_groups(zero):
        base.state[flat] = {
            key: _copied(value) if _is_single(value) else torch.zeros_like(flat)
            for key, value in first.items()
        }
    _find_states(zero)
    for index, parameter in enumerate(p for group in trained for p in group):
        for key, value in saved["state"][index].items():
            if not _is_single(value):
                _set_share(parameter, value, key)


def _flat_groups(zero: Any) -> list[Tensor]:
    """Return this rank's share of the float32 weights, one flat tensor a group."""
    for name in FLAT_GROUPS:
        if hasattr(zero, name):
            return list(getattr(zero, name))
    raise ValueError(
        f"the engine's optimizer {type(zero).__name__} has no weights in a form that is known "
        "here; install the DeepSpeed of constraints.txt"
    )


def _find_states(zero: Any) -> None:
    """Let parameters know where the optimizer's states for them are (ZeRO-1 and 2).

    The engine does so after its first step of the first group, when other groups have none yet.
    """
    if hasattr(zero, "_lazy_init_hp_params_optimizer_state") and any(zero.optimizer.state.values()):
        zero._hp_optimizer_states_linked = False
        zero._lazy_init_hp_params_optimizer_state()


def _is_single(value: Any) -> bool:
    """Tell whether a state of the optimizer is one number (AdamW's ``step``)."""
    return not isinstance(value, Tensor) or value.ndim == 0


def _copied(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, Tensor) else value


def _widened(value: Tensor) -> Tensor:
    narrow = value.is_floating_point() and value.element_size() < 4
    return value.float() if narrow else value


@contextmanager
def _assembled(value: Tensor, *, write: bool) -> Iterator[None]:
    """Put a parameter that ZeRO-3 has divided together; what rank 0 writes reaches all."""
    if not hasattr(value, "ds_id"):
        yield
        return
    from deepspeed import zero

    with zero.GatheredParameters([value], modifier_rank=0 if write else None):
        yield


def _whole(value: Tensor) -> Tensor:
    with _assembled(value, write=False):
        return value.detach().clone()


def _master(parameter: nn.Parameter) -> Tensor:
    from deepspeed.utils import safe_get_full_fp32_param

    return safe_get_full_fp32_param(parameter).detach()


def _set_share(parameter: Any, value: Tensor, key: str | None) -> None:
    """Write this rank's share of a whole tensor: a state of the optimizer, or the weight (None)."""
    from deepspeed import utils

    if not hasattr(parameter, "ds_id"):
        full = value.to(torch.float32)
        if key is None:
            utils.safe_set_full_fp32_param(parameter, full)
        else:
            utils.safe_set_full_optimizer_state(parameter, full, key)
        return
    # The last rank's share is filled up with zeros, which the call for whole tensors ignores.
    n = parameter.ds_tensor.numel()
    rank = torch.distributed.get_rank(parameter.ds_process_group)
    flat = value.flatten()[rank * n : (rank + 1) * n].to(torch.float32)
    share = nn.functional.pad(flat, (0, n - len(flat)))
    if key is None:
        utils.safe_set_local_fp32_param(parameter, share)
    else:
        utils.safe_set_local_optimizer_state(parameter, share, key)
