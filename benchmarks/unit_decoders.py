"""Seconds of decoders for 10,000 units, each from its 500 best inputs, against a loop over units.

Synthetic: 2,000 correlated inputs, 1,200 trials, units that follow some inputs, in noise. Both
sides select the inputs of each unit by correlation and choose its penalty among the same
candidates, by generalised cross-validation here and by leaving one out in the loop (scikit-learn's
SelectKBest and RidgeCV), which mostly choose the same. The loop is timed on some units and scaled.
Both run in this process with the same number of threads, in turns. The floor is what the Cholesky
solves and products must cost at the speed of a large matrix product here.

    python benchmarks/unit_decoders.py
    python benchmarks/unit_decoders.py --units 1000 --loop 10 --threads 1
"""

import argparse
import time

import numpy as np
import torch


def make(args: argparse.Namespace) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Draw training and test trials."""
    g = torch.Generator().manual_seed(0)
    n = args.trials + 200
    factors = torch.randn(n, 60, generator=g)
    x = factors @ torch.randn(60, args.inputs, generator=g) / 2
    x += 2 * torch.randn(n, args.inputs, generator=g)
    used = torch.rand(args.inputs, args.units, generator=g) < 0.05
    y = x @ (torch.randn(args.inputs, args.units, generator=g) * used)
    y /= y.std(0)
    y += torch.randn(n, args.units, generator=g)
    return x[: args.trials], y[: args.trials], x[args.trials :], y[args.trials :]


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Return the mean over columns of the correlation of two tables."""
    a, b = a - a.mean(0), b - b.mean(0)
    return float(((a * b).sum(0) / np.linalg.norm(a, axis=0) / np.linalg.norm(b, axis=0)).mean())


def loop(x: np.ndarray, y: np.ndarray, seen: np.ndarray, k: int, alphas: np.ndarray) -> np.ndarray:
    """Return what scikit-learn decodes, unit after unit."""
    from sklearn.feature_selection import SelectKBest, f_regression
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    decoded = []
    for unit in y.T:
        model = make_pipeline(
            StandardScaler(), SelectKBest(f_regression, k=k), RidgeCV(alphas=alphas)
        )
        decoded.append(model.fit(x, unit).predict(seen))
    return np.stack(decoded, 1)


def gigaflops() -> float:
    """Return the rate of a large product of matrices."""
    a = torch.randn(2048, 2048)
    best = min(_timed(lambda: a @ a) for _ in range(5))
    return 2 * 2048**3 / best / 1e9


def _timed(work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    """Parse the command line and measure."""
    from brainfm.unit_decoders import UnitDecoderConfig, fit_unit_decoders

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--units", type=int, default=10_000)
    parser.add_argument("--inputs", type=int, default=2_000)
    parser.add_argument("--trials", type=int, default=1_200)
    parser.add_argument("--chosen", type=int, default=500)
    parser.add_argument("--loop", type=int, default=24, help="units of the loop, half before")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    x, y, x_test, y_test = make(args)
    cfg = UnitDecoderConfig(inputs=args.chosen, block=16 if args.device == "cpu" else 256)
    print(
        f"synthetic: {args.units} units x {args.inputs} inputs x {args.trials} trials, "
        f"{args.chosen} inputs a unit, {len(cfg.penalties)} penalties, {args.threads} thr., "
        f"{args.device}"
    )
    from threadpoolctl import threadpool_limits

    alphas = args.trials * np.array(cfg.penalties)
    half, seconds, decoded = max(1, args.loop // 2), [], []
    tables = [v.numpy() for v in (x, y, x_test)]

    def turn(units: slice) -> None:
        with threadpool_limits(args.threads):
            seconds.append(
                _timed(
                    lambda: decoded.append(
                        loop(tables[0], tables[1][:, units], tables[2], args.chosen, alphas)
                    )
                )
            )

    loop(tables[0], tables[1][:, :1], tables[2], args.chosen, alphas)  # imports
    turn(slice(0, half))
    xd, yd = x.to(args.device), y.to(args.device)
    fit_unit_decoders(xd, yd[:, :64], cfg)
    start = time.perf_counter()
    fit = fit_unit_decoders(xd, yd, cfg)
    if args.device != "cpu":
        torch.cuda.synchronize()
    ours = time.perf_counter() - start
    turn(slice(half, 2 * half))
    theirs = sum(seconds) / (2 * half)
    k = args.chosen
    cut = k**3 / 3 + 4 * k**2 + 2 * cfg.steps * (1 + cfg.probes) * k**2
    floor = args.units * (cut + 2 * args.trials * args.inputs)
    floor += 2 * args.trials * args.inputs**2
    print(f"loop     {theirs * 1e3:8.1f} ms a unit, {theirs * args.units:8.1f} s scaled")
    print(f"brainfm  {ours / args.units * 1e3:8.1f} ms a unit, {ours:8.1f} s measured")
    print(f"ratio    {theirs * args.units / ours:8.1f} x")
    if args.device == "cpu":
        rate = gigaflops()
        print(f"floor    {floor / rate / 1e9:8.1f} s: {floor / 1e12:.2f} TFLOP at {rate:.0f}/s")
    mine, truth = fit.predict(x_test.to(args.device)).cpu().numpy(), y_test.numpy()
    some = slice(0, 2 * half)
    both = np.concatenate(decoded, 1)
    print(
        f"r with held-out trials: loop {correlation(both, truth[:, some]):.4f}, brainfm "
        f"{correlation(mine[:, some], truth[:, some]):.4f} (same units); of one another "
        f"{correlation(both, mine[:, some]):.5f}"
    )


if __name__ == "__main__":
    main()
