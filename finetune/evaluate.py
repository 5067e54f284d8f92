"""Judge a decoder: scores with chance, p and interval, beside null controls and baselines.

RUN is the folder of a finished 'brainfm finetune fit'. Controls and baselines that it does not have
yet are run first, from its settings, in RUN/controls and RUN/baselines; that takes about as long as
the run itself for each that is trained (noise, shuffled, shifted, random_backbone; conv_net takes
longer with few trials). What is finished is not run again. The first line says whether the run is
above its controls. The report and its numbers are written to RUN/evaluation (report.html,
evaluation.json).

Controls: noise (Gaussian noise for the signal), shuffled (targets of training shuffled), shifted
(signal of another time), metadata (subject, time and position in the session alone), prior_only
(what training says of every trial alike), nearest_neighbour (the target of the most correlated
window of training), random_backbone (the same model, not pretrained). Baselines run by default:
band_power, riemann, code_histogram, quantile_tokens, conv_net; also csp, cca, evoked. Of BOLD:
mean, response_power (band power through the haemodynamic response), lagged_power (at every lag),
alpha_theta. Of voxels: voxel_means, voxel_lda.

With several runs they are compared with each other instead, pair by pair on the same trials; the
comparison goes to the folder --out.

Example::

    brainfm evaluate runs/ssvep --controls all --baselines riemann conv_net
    brainfm evaluate runs/ssvep runs/ssvep-frozen --out runs/comparison
"""

from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("runs", type=Path, nargs="+", help="Folder of a run, or of several.")
    parser.add_argument(
        "--out", type=Path, help="Folder for the results; RUN/evaluation if not given."
    )
    parser.add_argument(
        "--controls",
        type=str,
        nargs="+",
        default=["all"],
        help="'all', 'none' or names; the report says which were left out.",
    )
    parser.add_argument(
        "--baselines", type=str, nargs="+", default=["all"], help="'all', 'none' or names."
    )
    parser.add_argument(
        "--only-finished",
        action="store_true",
        help="Start nothing; use the controls and baselines that are there.",
    )
    parser.add_argument(
        "--metric",
        type=str,
        help="What the verdict goes by, e.g. 'macro AUC'; by default balanced accuracy (area under "
        "the curve of two uneven classes), top-k, r or CER.",
    )
    parser.add_argument("--permutations", type=int, default=1000, help="Of every p-value.")
    parser.add_argument("--resamples", type=int, default=2000, help="Of every interval.")
    parser.add_argument(
        "--occlusion-trials",
        type=int,
        default=128,
        help="Most test trials, of all folds, that are decoded without each sensor; 0: no maps.",
    )
    parser.add_argument("--seed", type=int, default=0, help="Of permutations and resamples.")


def run(args: Namespace) -> int:
    """Evaluate one run, or compare several, and say where the results are."""
    from .evaluation import EVALUATION_FOLDER, NUMBERS_FILE, REPORT_FILE, write_evaluation
    from .evaluation_scores import ScoringConfig

    if args.occlusion_trials < 0:
        raise ValueError(f"--occlusion-trials must not be negative, got {args.occlusion_trials}")
    cfg = ScoringConfig(
        n_permutations=args.permutations, n_resamples=args.resamples, seed=args.seed
    )
    if len(args.runs) > 1:
        return _compare(args, cfg)
    numbers = write_evaluation(
        args.runs[0],
        cfg,
        out=args.out,
        controls=args.controls,
        baselines=args.baselines,
        only_finished=args.only_finished,
        metric=args.metric,
        occlusion_trials=args.occlusion_trials,
    )
    print_summary(numbers)
    out = args.out or args.runs[0] / EVALUATION_FOLDER
    print(f"report in {out / REPORT_FILE}, its numbers in {out / NUMBERS_FILE}")
    return 0


def print_summary(numbers: dict[str, Any]) -> None:
    """Print the verdict and the scores on stdout."""
    from rich.console import Console
    from rich.table import Table

    from .evaluation_tables import interval, number
    from .run_controls import spoken

    print(numbers["verdict"])
    for line in (*(f"warning: {w}" for w in numbers["warnings"]), numbers["baselines_line"]):
        if line:
            print(line)
    table = Table(box=None, pad_edge=False)
    for name in ("", "value", "95 %", "chance", "p"):
        table.add_column(name, justify="right" if name else "left")
    rows = [(one["name"], one) for one in numbers["scores"]]
    rows += [(one["name"], one) for one in numbers["details"].get("modalities", ())]
    for where in ("controls", "baselines"):
        for name, one in numbers[where].items():
            rows.append((f"{where[:-1]} {spoken(name)}: {one['score']['name']}", one["score"]))
    for label, one in rows:
        chance, p = number(one["chance"]), number(one["p_value"], 4)
        table.add_row(label, number(one["value"]), interval(one["interval"]), chance, p)
    Console(highlight=False, markup=False).print(table)
    print(numbers["overlap"])


def _compare(args: Namespace, cfg: Any) -> int:
    from .comparison import (
        COMPARISON_FILE,
        COMPARISON_PAGE,
        compare_runs,
        statement,
        write_comparison,
    )

    if args.out is None:
        raise ValueError("several runs are compared: name a folder for the comparison with --out")
    values = compare_runs(args.runs, cfg, metric=args.metric)
    write_comparison(values, args.out / COMPARISON_PAGE, args.out / COMPARISON_FILE)
    for one in values["differences"]:
        print(
            ("synthetic data; " if values["synthetic"] else "") + statement(one, values["metric"])
        )
    print(
        f"comparison in {args.out / COMPARISON_PAGE}, its numbers in {args.out / COMPARISON_FILE}"
    )
    return 0
