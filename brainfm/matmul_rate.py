"""How fast this device multiplies matrices: what a model's speed is measured against."""

import time

import torch


def precision_dtype(precision: str) -> torch.dtype:
    """Return the number format of matrix products under a trainer's precision, as bf16-mixed."""
    if precision.startswith("bf16"):
        return torch.bfloat16
    return torch.float16 if precision.startswith("16") else torch.float32


def matmul_rate(device: torch.device, dtype: torch.dtype, *, seconds: float = 0.5) -> float:
    """Return the floating-point operations per second of large products, best of several.

    Parameters
    ----------
    device
        Where to measure.
    dtype
        Number format of the matrices.
    seconds
        How long to measure, after one product that does not count.
    """
    size = 8192 if device.type == "cuda" else 1024
    a = torch.randn(size, size, device=device, dtype=dtype)
    out = torch.empty_like(a)

    def product() -> float:
        begin = time.perf_counter()
        torch.matmul(a, a, out=out)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - begin

    with torch.no_grad():
        product()
        best, end = product(), time.perf_counter() + seconds
        while time.perf_counter() < end:
            best = min(best, product())
    return 2.0 * size**3 / best
