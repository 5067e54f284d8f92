"""Look at runs: one HTML page of pictures, and its numbers as JSON beside it.

FOLDER is one of

- a folder of several stages: corpus/ (with split.json), tokenizer/, tokenizer-checkpoint/, codes/,
  pretrain/, checkpoint/ and features.h5, and the runs of 'brainfm finetune fit' in it; what is
  missing is left out and named;
- a training run of the tokenizer or of the masked model;
- a run of 'brainfm finetune fit': its scores beside the controls and baselines that are finished
  ('brainfm evaluate' runs those that are not), curves, examples, pictures.

Several runs of 'brainfm finetune fit' are compared with each other: every two of them, paired by
subject, on the same trials.

Example::

    brainfm report runs/demo --out report.html
    brainfm report runs/mine
    brainfm report runs/mine runs/other --out comparison.html
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser, Namespace

if TYPE_CHECKING:
    from brainfm.report_page import Page

    from .evaluation_scores import ScoringConfig

PAGE = "report.html"
DEPTH = 3
"""Folders below that are searched for decoding runs."""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "folders", type=Path, nargs="+", metavar="FOLDER", help="Folder of a run, or of several."
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="Page to write (.html); report.html in the folder if not given, but for comparisons.",
    )
    parser.add_argument(
        "--recordings",
        type=int,
        default=8,
        help="Most recordings of each held-out side that are reconstructed.",
    )
    parser.add_argument("--device", type=str, default="cpu", help="'cpu', 'cuda' or 'cuda:N'.")
    parser.add_argument(
        "--metric",
        type=str,
        help="What several runs are compared by; their main measure if not given.",
    )

    parser.add_argument(
        "--permutations", type=int, default=1000, help="Of every p-value that is not known yet."
    )
    parser.add_argument(
        "--resamples", type=int, default=2000, help="Of every interval that is not known yet."
    )


def run(args: Namespace) -> int:
    """Write the report and say where it is."""
    from .evaluation_scores import ScoringConfig

    cfg = ScoringConfig(n_permutations=args.permutations, n_resamples=args.resamples)
    first, *others = args.folders
    if others and args.out is None:
        raise ValueError("several runs are compared: name the page with --out comparison.html")
    out = args.out or first / PAGE
    if out.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"--out must end in .html, got {out}")
    if args.metric and not others:
        raise ValueError("--metric is what several runs are compared by; give several, or leave it")
    if others:
        title, page, numbers = _comparison(args.folders, cfg, args.metric)
    else:
        title, page, numbers = report_on(
            first, cfg, max_recordings=args.recordings, device=args.device
        )
    _write(page, numbers, title, out)
    for section, reason in numbers.get("left_out", {}).items():
        print(f"left out: {section}: {reason}")
    print(f"report in {out}, its numbers in {out.with_suffix('.json')}")
    return 0


def report_on(
    path: Path, cfg: "ScoringConfig", *, max_recordings: int = 8, device: str = "cpu"
) -> tuple[str, "Page", dict[str, Any]]:
    """Return title, page and numbers of a folder.

    Parameters
    ----------
    path
        As the command takes it.
    cfg
        Permutations and resamples of what was not evaluated before.
    max_recordings
        Most recordings of a held-out side that are reconstructed.
    device
        Where the tokenizer runs.

    Raises
    ------
    FileNotFoundError
        There is nothing to report on.
    ValueError
        It is one fold of a run; a decoding run was found to leak.
    """
    from .evaluation import run_page
    from .evaluation_page import title_of
    from .run_record import RUN_FILE

    if (path.parent / RUN_FILE).is_file() and path.name.startswith("fold-"):
        raise ValueError(f"{path} is one fold of a run; give the run: {path.parent}")
    if (path / RUN_FILE).is_file():
        page, numbers = run_page(path, cfg)
        return title_of(numbers), page, numbers
    return _of_folder(path, cfg, max_recordings, device)


def decoding_runs(path: Path) -> list[Path]:
    """Return the finished fine-tuning runs below a folder; those beside a run belong to it."""
    from .run_controls import is_finished
    from .run_record import RUN_FILE

    found: list[Path] = []
    for depth in range(1, DEPTH + 1):
        for file in sorted(path.glob("/".join(["*"] * depth + [RUN_FILE]))):
            inside = any(run in file.parents for run in found)
            if not inside and is_finished(file.parent):
                found.append(file.parent)
    return found


def _of_folder(
    path: Path, cfg: "ScoringConfig", max_recordings: int, device: str
) -> tuple[str, "Page", dict[str, Any]]:
    """Return the page of all stages: what the library knows of, then every decoding run."""
    from brainfm.report import folder_page
    from brainfm.report_folder import RunFolder
    from brainfm.report_page import Page

    runs = decoding_runs(path) if path.is_dir() else []
    page, numbers = Page(), dict[str, Any]()
    try:
        folder = RunFolder(path, max_recordings=max_recordings, device=device)
    except FileNotFoundError:
        if not runs:
            raise
    else:
        page, numbers = folder_page(folder)
    _add_decoding(page, numbers, path, runs, cfg)
    numbers["left_out"] = dict(page.left_out)
    return f"brainfm report: {path.resolve().name}", page, numbers


def _add_decoding(
    page: "Page", numbers: dict[str, Any], path: Path, runs: list[Path], cfg: "ScoringConfig"
) -> None:
    """Add every decoding run, how they compare, and, first of all, their verdicts."""
    from brainfm.report_page import Entry, html_list

    from .evaluation import run_page

    numbers["decoding"] = {}
    for run in runs:
        name = run.relative_to(path).as_posix()
        try:
            own, numbers["decoding"][name] = run_page(run, cfg)
        except ValueError as error:
            page.leave_out(name, str(error))
            continue
        page.take(own, name)
    if len(runs) > 1:
        try:
            _, own, numbers["comparison"] = _comparison(runs, cfg, None)
            page.take(own)
        except ValueError as error:
            page.leave_out("comparison of the decoding runs", str(error))
    said = [f"{name}: {one['verdict']}" for name, one in numbers["decoding"].items()]
    if said:
        page.entries.insert(0, Entry("Decoding", "Verdicts", html_list(said), ""))


def _comparison(
    paths: list[Path], cfg: "ScoringConfig", metric: str | None
) -> tuple[str, "Page", dict[str, Any]]:
    from .comparison import compare_runs, comparison_page, comparison_title

    values = compare_runs(paths, cfg, metric=metric)
    return comparison_title(values), comparison_page(values), values


def _write(page: "Page", numbers: dict[str, Any], title: str, out: Path) -> None:
    from brainfm.atomic import write_json_atomic

    out.parent.mkdir(parents=True, exist_ok=True)
    page.write(out, title)
    write_json_atomic(out.with_suffix(".json"), numbers)
