"""Published BrainOmni files: read without unpickling objects, renamed to our tensors' names.

Shapes: K codes a level, E width of a code.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from brainfm.rotary import RotaryKind
from brainfm.torch_files import read_torch_file

RENAMES = (
    (r"^sensor_embed\.sensor_embedding_layer\.", "sensor_embedding.kind."),
    (r"^sensor_embed\.pos_embedding_layer\.", "sensor_embedding.position."),
    (r"^sensor_embed\.aggregate_mlp\.layer\.", "sensor_embedding.mix."),
    (r"^sensor_embed\.norm\.", "sensor_embedding.norm."),
    (r"^encoder\.neuros$", "gather.queries"),
    (r"^encoder\.k_proj\.", "gather.key."),
    (r"^encoder\.backwardsolution\.v\.", "gather.value."),
    (r"^encoder\.backwardsolution\.proj\.", "gather.out."),
    (r"^decoder\.forwardsolution\.kv\.", "spread.key_value."),
    (r"^decoder\.forwardsolution\.proj\.", "spread.out."),
    (r"^encoder\.seanet_encoder\.model\.", "encoder.layers."),
    (r"^decoder\.seanet_decoder\.model\.", "decoder.layers."),
    (r"\.block\.1\.", ".narrow."),
    (r"\.block\.3\.", ".widen."),
    (r"\.(conv|convtr)\.(conv|convtr)\.", ".conv."),
    (r"\.weight_g$", ".parametrizations.weight.original0"),
    (r"\.weight_v$", ".parametrizations.weight.original1"),
    (r"\._codebook\.inited$", "._codebook.initted"),
    (r"\.pre_attn_norm\.", ".attention_norm."),
    (r"\.pre_ff_norm\.", ".mlp_norm."),
    (r"\.time_attn\.", ".time."),
    (r"\.spatial_attn\.", ".source."),
    (r"\.(time|source)\.proj\.", r".\1.out."),
    (r"\.ff\.layer\.", ".mlp."),
    (r"^predict_head\.", "head."),
    (r"^projection\.", "project."),
)
NESTS = ("state_dict", "module", "model")
PREFIXES = ("module.", "model.", "state_dict.", "_forward_module.", "_orig_mod.")
ROTARY = re.compile(r"^blocks\.(\d+)\.time_attn\.rope_embedding_layer\.(freqs|rotate)$")
FLOATS = (torch.float32, torch.float16, torch.bfloat16)


def read_state(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a published file under their published names.

    The file may be a plain dictionary or hold one under "state_dict", "module" or "model" (names
    and numbers beside it are passed over); prefixes that all names share are dropped.

    Raises
    ------
    ValueError
        Not a PyTorch file, one that needs pickle, or one that holds more than tensors.
    """
    state = _unwrap(read_torch_file(path), path)
    while prefix := next((p for p in PREFIXES if all(k.startswith(p) for k in state)), None):
        state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def _unwrap(content: Any, path: Path) -> dict[str, Tensor]:
    while isinstance(content, Mapping):
        inner = [name for name in NESTS if isinstance(content.get(name), Mapping)]
        if not inner:
            break
        beside = [name for name, value in content.items() if isinstance(value, Tensor)]
        if beside or len(inner) > 1:
            raise ValueError(
                f"{path} holds weights in several places ({', '.join([*inner, *beside][:5])}); "
                "save one model's state dict alone"
            )
        content = content[inner[0]]
    if not isinstance(content, Mapping) or not content:
        raise ValueError(f"{path} holds no state dict but {type(content).__name__}")
    others = [str(name) for name, value in content.items() if not isinstance(value, Tensor)]
    if others:
        raise ValueError(f"{path} holds more than tensors: {', '.join(others[:5])}")
    return {str(name): value for name, value in content.items()}


def rename_keys(state: Mapping[str, Tensor]) -> dict[str, str]:
    """Return our name of every published name of one model's tensors."""
    names = {}
    for published in state:
        name = published
        for pattern, replacement in RENAMES:
            name = re.sub(pattern, replacement, name)
        names[published] = name
    return names


def convert_state(
    state: Mapping[str, Tensor], own: Mapping[str, Tensor], where: str
) -> dict[str, Tensor]:
    """Return published tensors under our names, in our layout and float32.

    Parameters
    ----------
    state
        Published names without the prefix of the model they are in, without rotary buffers.
    own
        State dict of our model.
    where
        The file, for errors.

    Raises
    ------
    ValueError
        Tensors that our model has no place for, two for one place, codebooks that were never set.
    """
    names = rename_keys(state)
    left_over = [published for published, name in names.items() if name not in own]
    if left_over:
        more = f" and {len(left_over) - 5} more" if len(left_over) > 5 else ""
        raise ValueError(
            f"{where} holds tensors that the model of model_cfg.json has no place for: "
            f"{', '.join(left_over[:5])}{more}; do the two files belong together?"
        )
    if len(set(names.values())) < len(names):
        twice = [p for p, name in names.items() if list(names.values()).count(name) > 1]
        raise ValueError(f"{where} holds one tensor under two names: {', '.join(twice[:4])}")
    return {names[p]: _convert(value, names[p], f"{where}: {p}") for p, value in state.items()}


def _convert(value: Tensor, name: str, where: str) -> Tensor:
    if value.dtype not in FLOATS and not (name.endswith("initted") and value.numel() == 1):
        raise ValueError(f"{where} is {value.dtype}; expected are floating-point weights")
    if name.endswith("._codebook.initted"):
        if not bool(value):
            raise ValueError(f"{where} is 0: the codebooks were never set; the model is untrained")
        return torch.tensor(True)
    # Ours have an axis for several codebooks a level, which nobody uses.
    return value[None].float() if "._codebook." in name else value.float()


def rotary_kind(state: Mapping[str, Tensor], depth: int, width: int, where: str) -> RotaryKind:
    """Tell from the rotary buffers which function a published masked model is.

    DeepSpeed's consolidation drops the imaginary part of the complex buffer; the released code then
    multiplies by cosines alone.

    Parameters
    ----------
    state
        Published names, (tokens, width / 4) buffers among them.
    depth, width
        Blocks and features of the model.
    where
        The file, for errors.
    """
    kinds: set[RotaryKind] = set()
    for block in range(depth):
        table = state.get(f"blocks.{block}.time_attn.rope_embedding_layer.rotate")
        if table is None:
            raise ValueError(
                f"{where} lacks blocks.{block}.time_attn.rope_embedding_layer.rotate, which tells "
                "whether positions are rotated or scaled by cosines"
            )
        has_sine = table.is_complex() and bool((table.imag != 0).any())
        kinds.add("ladder" if has_sine else "cosine_only")
        _check_ladder(table, width, f"{where}: rotary table of block {block}")
    if len(kinds) > 1:
        raise ValueError(f"{where}: some rotary tables are complex and some real")
    return kinds.pop()


def _check_ladder(table: Tensor, width: int, where: str) -> None:
    pairs = width // 4
    if table.ndim != 2 or table.shape[1] != pairs:
        raise ValueError(f"{where} is {tuple(table.shape)}, expected (tokens, {pairs})")
    angle = torch.outer(torch.arange(len(table)), 10000.0 ** -(torch.arange(pairs) / pairs))
    found = table.real if table.is_complex() else table
    if not torch.allclose(found.float(), angle.cos(), atol=1e-2):
        raise ValueError(f"{where} is not the published ladder of frequencies (base 10000)")
