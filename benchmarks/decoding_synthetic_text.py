"""Texts and words decoded of synthetic listeners: with the presets, with something planted or not.

Three spoken digits make a sentence (:mod:`digit_sentences`); ``brainfm simulate`` plays sentences
to synthetic people. Texts are of one voice, so that the words of a test sentence are known and
their order is not; words are recordings that training does not have. Nothing here says anything
about real brains.
"""

import contextlib
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from brainfm.finetune.ctc_decoding import TextDecoder, TextDecodingConfig, symbols_of
from brainfm.finetune.decoded_run import DecodedRun, load_run
from brainfm.finetune.decoder import load_decoder
from brainfm.finetune.evaluation_scores import ScoringConfig, score_measure
from brainfm.finetune.measures import measures_of
from brainfm.finetune.run_controls import make_controls
from brainfm.finetune.run_data import load_data
from digit_sentences import Line, each_once, one_voice, write_sentences

from brainfm.cli import main

WORDS = 3
"""Of a sentence."""
PEOPLE: dict[str, Any] = {"speech": "mel", "gap": 0.6}
"""The gap keeps the window of a sentence out of the next one."""
CONTROLS = ("metadata", "prior_only")
DECODINGS = {
    "with a language model of letters": TextDecodingConfig(
        method="beam", language_model="training", order=4
    ),
    "with a lexicon and a language model of words": TextDecodingConfig(
        method="beam", lexicon="training", language_model="training", order=2
    ),
}


def data_sets(
    args: Namespace, simulated: Any, kind: str, lines: Sequence[Line]
) -> Iterator[tuple[str, Path, Path]]:
    """Yield name, folder and sounds of a data set with something planted, and of one without."""
    sounds = args.out / f"sentences-{kind}"
    audio = write_sentences(lines, sounds, even=kind == "words")
    for name, planted in {"planted": {"snr": args.text_snr}, "null": {"null": True}}.items():
        folder = args.out / f"{kind}-{name}-{args.text_snr:g}"
        size = {"subjects": args.text_subjects, "duration": args.text_duration}
        made = simulated(folder, audio, **PEOPLE, **size, **planted)
        yield name, made, sounds


def recordings(args: Namespace) -> list[Path]:
    """Return spoken digits."""
    return sorted((args.speech / "fsdd").glob("*.wav"))


def fitted(preset: str, data: Path, sounds: Path, *words: str) -> Path:
    """Return a run of a preset, made if it is not there."""
    run = data.with_name(f"{data.name}-{preset}")
    if not (run / "fold-1" / "predictions-test.npz").is_file():
        asked = ["finetune", "fit", "--config", preset, "--out", str(run), *words]
        asked += ["--data.source.init_args.root", str(data)]
        asked += ["--data.source.init_args.audio", str(sounds)]
        with contextlib.redirect_stdout(sys.stderr):
            status = main([*asked, "--trainer.enable_progress_bar", "false"])
        if status:
            raise RuntimeError(f"{run}: the fit failed")
    return run


def redecoded(run: DecodedRun, cfg: TextDecodingConfig) -> DecodedRun:
    """Return a CTC run whose texts are read from the same probabilities in another way."""
    folds = []
    for number, fold in enumerate(run.folds):
        decoder, data = load_decoder(run.path, number), load_data(run.path, fold=number)
        training = data.targets.rows[data.indices("train")].tolist()
        known = [symbols_of(data.targets, row) for row in training]
        read = TextDecoder(cfg, data.targets.alphabet, known)
        texts: dict[int, str] = {}
        for batch in data.side_batches("test"):
            emissions = decoder.predict(batch).float().numpy()
            for trial, one in zip(batch.trial.tolist(), emissions, strict=True):
                texts[trial] = read(one)
        output = np.array([texts[trial] for trial in fold.trial.tolist()], dtype=np.str_)
        folds.append(replace(fold, output=output))
    return replace(run, folds=tuple(folds))


def short(args: Namespace) -> tuple[str, ...]:
    """Return the words of a fit that is shorter than its preset's."""
    return () if args.epochs is None else ("--trainer.max_epochs", str(args.epochs))


def row(name: str, run: DecodedRun, wanted: str) -> str:
    """Return a line of a table: a measure with interval, chance and p."""
    (measure,) = [m for m in measures_of(run) if m.metric.name == wanted]
    found = score_measure(run, measure, ScoringConfig(n_permutations=400))
    low, high = found.interval or (float("nan"),) * 2
    p = "" if found.p_value is None else f"{found.p_value:.4f}"
    return f"| {name} | {found.value:.3f} | {low:.3f} to {high:.3f} | {found.chance:.3f} | {p} |"


def controls_of(run: Path) -> dict[str, DecodedRun]:
    """Return the finished controls of a run that see no brain."""
    made = make_controls(run, CONTROLS)
    for name, why in made.missing.items():
        if name in CONTROLS:
            raise RuntimeError(f"control {name} of {run}: {why}")
    return {name: load_run(path) for name, path in made.paths.items()}


def texts(args: Namespace, simulated: Any) -> None:
    """Print character error rates: of several ways to read, of controls, and of nothing planted."""
    print("| | CER | 95 % over people | constant text | p |\n" + "|---" * 5 + "|")
    lines = one_voice(recordings(args), WORDS, args.sentences, np.random.default_rng(0))
    for name, data, sounds in data_sets(args, simulated, "texts", lines):
        run = load_run(fitted("speech_ctc", data, sounds, *short(args)))
        print(row(f"{name}: best path", run, "CER"))
        for how, cfg in DECODINGS.items():
            print(row(f"{name}: {how}", redecoded(run, cfg), "CER"))
        for control, found in controls_of(run.path).items():
            print(row(f"{name}: {control.replace('_', ' ')}", found, "CER"))


def words(args: Namespace, simulated: Any) -> None:
    """Print top-10 of words in their sentences, of controls, and of nothing planted."""
    print("| | top-10 | 95 % over people | chance | p |\n" + "|---" * 5 + "|")
    lines = each_once(recordings(args), WORDS, np.random.default_rng(0))
    for name, data, sounds in data_sets(args, simulated, "words", lines):
        also = ("--data.targets.init_args.audio", f"[{sounds}]")
        run = load_run(fitted("speech_words", data, sounds, *also, *short(args)))
        print(row(name, run, "top-10"))
        for control, found in controls_of(run.path).items():
            print(row(f"{name}: {control.replace('_', ' ')}", found, "top-10"))
