"""Graphs of models in files: ``torch.export`` (``.pt2``) and ONNX.

Both hold what feeds them (:mod:`brainfm.exported_record`).
"""

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from brainfm.atomic import atomic_path, write_bytes_atomic
from brainfm.checkpoints import software_versions
from brainfm.exported_record import INPUTS, METADATA, ExportedRecord

GraphFormat = Literal["onnx", "torch"]
OPSET = 18
"""Of ONNX: what runtimes of several years know."""
FREE = "batch", "channels", "samples"
"""Axes of the signal whose length is free."""


def write_graph(
    module: nn.Module,
    example: Sequence[Tensor],
    record: ExportedRecord,
    out: str | Path,
    *,
    kind: GraphFormat = "onnx",
    int8: bool = False,
) -> Path:
    """Trace a module and write its graph.

    Parameters
    ----------
    module
        In eval mode, on the CPU; its inputs are those of :data:`brainfm.exported_record.INPUTS`.
    example
        Inputs; the length of all axes of :data:`FREE` stays free, but for samples where
        ``record.n_times`` fixes them.
    record
        What is written beside the graph; versions are filled in.
    out
        File.
    kind
        "onnx" or "torch".
    int8
        Of ONNX: store large weights in 8 bits (:mod:`brainfm.onnx_weights`).

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ImportError
        The packages of the extra "export" are not installed.
    ValueError
        8 bits were asked of a ``.pt2`` file.
    """
    if int8 and kind != "onnx":
        raise ValueError("int8 weights are a setting of ONNX files; leave --int8 out")
    if kind == "onnx":
        _need("onnx", "onnxscript")
    record = replace(
        record,
        int8=int8,
        opset=OPSET if kind == "onnx" else 0,
        software=software_versions() | _export_versions(),
    )
    with _quiet():
        program = _traced(module.eval(), tuple(example), free_length=not record.n_times)
        if kind == "torch":
            with atomic_path(out) as temporary, temporary.open("wb") as file:
                extra = {f"{METADATA}.json": record.dumps()}
                torch.export.save(program, file, extra_files=extra)
            return Path(out)
        proto = _onnx_model(program, record)
    if int8:
        from brainfm.onnx_weights import store_in_int8

        store_in_int8(proto, module)
    write_bytes_atomic(out, proto.SerializeToString())
    return Path(out)


def read_pt2_record(path: str | Path) -> ExportedRecord:
    """Return what stands beside the graph in a ``.pt2`` file; the graph is not loaded."""
    import zipfile

    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith(f"/{METADATA}.json")]
        if len(names) != 1:
            raise ValueError(f"{path} was not written by 'brainfm export'")
        return ExportedRecord.loads(archive.read(names[0]).decode("utf-8"), str(path))


def _traced(module: nn.Module, example: tuple[Tensor, ...], *, free_length: bool) -> Any:
    """Return the module as a ``torch.export.ExportedProgram``."""
    from torch.fx.experimental import _config

    tracing: Any = _config
    free: Any = torch.export.Dim.DYNAMIC
    signal = {0: free, 1: free} | ({2: free} if free_length else {})
    axes = [signal, {0: free}, {0: free}, {0: free}]
    # Without this a length that is one in no example must not be one later.
    with torch.no_grad(), tracing.patch(backed_size_oblivious=True):
        program = torch.export.export(module, example, dynamic_shapes=(*axes,), strict=False)
    for part in program.graph_module.modules():
        for node in part.graph.nodes if isinstance(part, torch.fx.GraphModule) else ():
            # Where a line of code lies on this machine is nobody's business.
            node.meta.pop("stack_trace", None)
    return program


def _onnx_model(program: Any, record: ExportedRecord) -> Any:
    """Return an ``onnx.ModelProto`` of a traced module, its record in the metadata."""
    traced: Any = torch.onnx.export(
        program,
        dynamo=True,
        opset_version=OPSET,
        input_names=list(INPUTS),
        output_names=list(record.outputs),
        verbose=False,
        optimize=True,
    )
    proto = traced.model_proto
    for part in (*proto.graph.node, *proto.graph.value_info):
        # What the tracer knows of its lines and modules is a fifth of a small file.
        del part.metadata_props[:]
    _name_axes(proto.graph)
    proto.metadata_props.add(key=METADATA, value=record.dumps())
    proto.producer_name = "brainfm"
    return proto


def _name_axes(graph: Any) -> None:
    """Give free axes names, those of :data:`FREE` and "frames", instead of the tracer's symbols."""
    shape = graph.input[0].type.tensor_type.shape.dim
    frames = graph.output[0].type.tensor_type.shape.dim[1].dim_param
    names: Mapping[str, str] = ({frames: "frames"} if frames else {}) | {
        dim.dim_param: name for dim, name in zip(shape, FREE, strict=True) if dim.dim_param
    }
    for value in (*graph.input, *graph.output, *graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            for symbol, name in names.items():
                if symbol in dim.dim_param:
                    dim.dim_param = dim.dim_param.replace(symbol, name)


def _need(*packages: str) -> None:
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise ImportError(
            f"{' and '.join(missing)} not installed; pip install 'brainfm-toolkit[export]'"
        )


def _export_versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("onnx", "onnxscript") if find_spec(name)}


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep back what the exporter says of packages that nobody asked for."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        logger.setLevel(level)
