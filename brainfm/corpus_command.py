"""Inspect, verify and divide a corpus that ``brainfm prepare`` made.

Examples::

    brainfm corpus info corpus                     # hours, subjects, channels, devices
    brainfm corpus verify corpus                   # every byte against its checksum
    brainfm corpus split corpus --by subject --fractions train=0.8 validation=0.1 test=0.1
    brainfm corpus audit corpus                    # do the sides share anything?
"""

from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from brainfm.command_parser import CommandParser, HelpFormatter
from brainfm.splits import DEFAULT_FRACTIONS, SPLIT_FILE, UNITS, SplitConfig

ACTIONS = {
    "info": "Print hours, subjects, channels and devices per data set.",
    "verify": "Read every byte and compare it with its checksum; exit 1 if any differs.",
    "split": "Divide the recordings into sides; what was divided before never moves.",
    "audit": "Check that the sides of a split share nothing; exit 1 if they do.",
    "index": "Make the index again from the recordings that are there.",
}


def add_arguments(parser: ArgumentParser) -> None:
    """Add one subcommand per action."""
    actions = parser.add_subcommands(dest="action", required=True)
    for name, summary in ACTIONS.items():
        sub = CommandParser(description=summary, formatter_class=HelpFormatter)
        sub.add_argument("corpus", type=Path, metavar="DIR", help="Folder of the corpus.")
        if name == "verify":
            sub.add_argument("--threads", type=int, default=2, help="Files read at once.")
        if name == "split":
            _add_split_arguments(sub)
        if name == "audit":
            text = f"Manifest to check; default: DIR/{SPLIT_FILE}."
            sub.add_argument("--split", type=Path, help=text)
        actions.add_subcommand(name, sub, help=summary)


def _add_split_arguments(parser: ArgumentParser) -> None:
    default = [f"{side}={share}" for side, share in DEFAULT_FRACTIONS.items()]
    parser.add_argument(
        "--by", type=str, default="subject", help=f"What is never divided: {', '.join(UNITS)}."
    )
    parser.add_argument(
        "--fractions",
        nargs="+",
        type=str,
        default=default,
        metavar="SIDE=SHARE",
        help="Expected share of the units per side, 0 to 1; they add up to 1.",
    )
    parser.add_argument(
        "--dataset-fractions",
        nargs="+",
        type=str,
        default=[],
        metavar="DATASET:SIDE=SHARE[,SIDE=SHARE]",
        help="Other shares for single data sets, e.g. ds004279:test=1.",
    )
    parser.add_argument(
        "--hold-out-device",
        nargs="+",
        type=str,
        default=[],
        metavar="DEVICE",
        help="Devices that go to the side 'test' whole ('brainfm corpus info' lists them).",
    )
    parser.add_argument(
        "--salt",
        type=str | None,
        help="Any text; another divides otherwise. Default: that of the manifest, or none, or the "
        "first number by which few units leave no side empty.",
    )
    parser.add_argument("--out", type=Path, help=f"Manifest; default: DIR/{SPLIT_FILE}.")


def run(args: Namespace) -> int:
    """Carry out the chosen action; 1 if something is wrong with the corpus or the split."""
    action = {
        "info": run_info,
        "verify": run_verify,
        "split": run_split,
        "audit": run_audit,
        "index": run_index,
    }[args.action]
    return action(args[args.action])


def run_info(args: Namespace) -> int:
    """Print what the corpus holds."""
    from rich.console import Console

    from brainfm.copies import duplicates
    from brainfm.corpus import Corpus
    from brainfm.corpus_summary import amounts_table, devices_table

    corpus = Corpus(args.corpus)
    infos = list(corpus.recordings)
    console = Console()
    console.print(amounts_table(infos))
    console.print(devices_table(infos))
    size = int(corpus.columns.size.sum()) / 1e6
    console.print(f"{corpus.path}: {size:.1f} MB, digest {corpus.digest[:16]}", soft_wrap=True)
    for group in duplicates(infos, corpus.shared):
        console.print(f"same samples: {', '.join(info.id for info in group)}", soft_wrap=True)
    return 0


def run_verify(args: Namespace) -> int:
    """Check all files and print what is wrong."""
    from rich.console import Console
    from rich.progress import Progress

    from brainfm.corpus_index import recording_files
    from brainfm.corpus_verify import verify_corpus

    console = Console()
    n_files, n_bytes, problems = 0, 0, []
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("verifying", total=len(recording_files(args.corpus)) + 2)
        for file in verify_corpus(args.corpus, threads=args.threads):
            n_files, n_bytes = n_files + 1, n_bytes + file.n_bytes
            if file.problem:
                problems.append(f"{file.name}: {file.problem}")
            progress.advance(task)
    for problem in problems:
        console.print(problem, soft_wrap=True, highlight=False)
    verdict = f"{len(problems)} wrong" if problems else "all intact"
    console.print(f"{n_files} files, {n_bytes / 1e6:.1f} MB read: {verdict}")
    return 1 if problems else 0


def run_split(args: Namespace) -> int:
    """Divide the corpus, or what is new in it, and print the sides."""
    from brainfm.corpus import read_config
    from brainfm.preparation_run import alone_at_work

    out = args.out or args.corpus / SPLIT_FILE
    read_config(args.corpus)
    # A corpus that cannot be written can still be divided, into a manifest that stands elsewhere.
    within = out.absolute().parent == args.corpus.absolute()
    with alone_at_work(args.corpus) if within else nullcontext():
        return _split(args, out)


def _split(args: Namespace, out: Path) -> int:
    from rich.console import Console

    from brainfm.audit import audit
    from brainfm.corpus import Corpus
    from brainfm.corpus_summary import side_table
    from brainfm.split_salt import empty_sides, split_with_all_sides
    from brainfm.splits import Split, make_split

    corpus = Corpus(args.corpus)
    infos = list(corpus.recordings)
    earlier = Split.load(out) if out.exists() else None
    config = _split_config(args, earlier.config.salt if earlier else "")
    _check_names(config, infos)
    if earlier is None and args.salt is None:
        split = split_with_all_sides(infos, config, shared=corpus.shared)
    else:
        split = make_split(infos, config, earlier=earlier, shared=corpus.shared)
    findings = audit(split, infos, shared=corpus.shared)
    if findings:
        raise ValueError(f"{len(findings)} overlaps, e.g. {findings[0]}; {out} was not written")
    split.save(out)
    console = Console()
    console.print(side_table(split, infos))
    for name, reason in split.excluded.items():
        console.print(f"on no side: {name}: {reason}", soft_wrap=True, highlight=False)
    for side in empty_sides(split, infos):
        told = f"side {side} is empty: hashes divide few units; delete {out.name} and divide by "
        console.print(f"{told}another --by or --salt", soft_wrap=True)
    if split.config.salt != config.salt:
        console.print(f"salt {split.config.salt}: the first that leaves no side empty, if it can")
    console.print(f"manifest: {out}  digest {split.digest[:16]}", soft_wrap=True)
    return 0


def _check_names(config: SplitConfig, infos: Iterable) -> None:
    infos = list(infos)
    for what, named, known in (
        ("data sets", set(config.dataset_fractions), {info.dataset for info in infos}),
        ("devices", set(config.held_out_devices), {info.device for info in infos}),
    ):
        if named - known:
            raise ValueError(
                f"the corpus has no {what} {sorted(named - known)}; it has {sorted(known)}"
            )


def _split_config(args: Namespace, salt: str) -> SplitConfig:
    """Return the settings of the options; ``salt`` where none is given."""
    by_dataset = {}
    for text in args.dataset_fractions:
        name, colon, shares = text.rpartition(":")
        if not colon:
            raise ValueError(f"--dataset-fractions takes DATASET:SIDE=SHARE, got {text!r}")
        by_dataset[name] = _shares(shares.split(","), "--dataset-fractions")
    return SplitConfig(
        by=args.by,
        fractions=_shares(args.fractions, "--fractions"),
        dataset_fractions=by_dataset,
        held_out_devices=tuple(args.hold_out_device),
        salt=salt if args.salt is None else args.salt,
    )


def _shares(texts: Iterable[str], option: str) -> Mapping[str, float]:
    shares = {}
    for text in texts:
        side, _, share = text.partition("=")
        try:
            shares[side] = float(share)
        except ValueError:
            raise ValueError(f"{option} takes SIDE=SHARE, e.g. train=0.9; got {text!r}") from None
    return shares


def run_audit(args: Namespace) -> int:
    """Check a split against itself and the corpus."""
    from rich.console import Console

    from brainfm.audit import audit, unlisted
    from brainfm.corpus import Corpus
    from brainfm.splits import Split

    corpus = Corpus(args.corpus)
    path = args.split or args.corpus / SPLIT_FILE
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; 'brainfm corpus split' makes one")
    split = Split.load(path)
    infos = list(corpus.recordings)
    findings = audit(split, infos, shared=corpus.shared)
    console = Console()
    for finding in findings:
        console.print(finding, soft_wrap=True, highlight=False)
    new = unlisted(split, infos)
    if new:
        console.print(f"{len(new)} recordings are on no side yet, e.g. {new[0]}", soft_wrap=True)
    counts = ", ".join(f"{side} {len(entries)}" for side, entries in split.sides.items())
    verdict = f"{len(findings)} findings" if findings else "the sides share nothing"
    console.print(f"{path}: {counts} recordings, by {split.config.by}: {verdict}", soft_wrap=True)
    return 1 if findings else 0


def run_index(args: Namespace) -> int:
    """Write the index anew."""
    from brainfm.corpus import read_config
    from brainfm.corpus_index import INDEX_NAME, write_index
    from brainfm.preparation_run import alone_at_work

    read_config(args.corpus)
    with alone_at_work(args.corpus):
        n = write_index(args.corpus)
    print(f"{args.corpus / INDEX_NAME}: {n} recordings")
    return 0
