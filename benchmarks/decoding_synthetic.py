"""Does decoding find what was planted, and nothing where nothing was? On synthetic listeners.

``brainfm simulate`` plays real speech to synthetic people; the decoder is closed-form ridge
regression from windows of the prepared signal to log-mel frames, through ``brainfm finetune fit``
and the retrieval head as any other decoder. No number here says anything about real brains.

    python benchmarks/decoding_synthetic.py MODE --speech ../shared/data/speech --out scratch

``planted``: top-10 by signal-to-noise ratio, and by the number of presentations averaged at one of
them. ``null``: the same with nothing planted, for many seeds: the mean, how often the 95 % interval
over people covers chance, how often p is below .05. ``leaks``: three mistakes made on purpose, each
of which must stop the run. ``texts`` and ``words``: CTC and words in their sentences, with the
presets ``speech_ctc`` and ``speech_words`` (:mod:`decoding_synthetic_text`). Finished runs are not
made again.
"""

import argparse
import contextlib
import io
import logging
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from brainfm.finetune.backbone import Backbone
from brainfm.finetune.decoded_run import DecodedRun, load_run
from brainfm.finetune.evaluation_scores import ScoringConfig, score_measure
from brainfm.finetune.measures import measures_of
from brainfm.finetune.retrieval_measures import searched
from brainfm.finetune.speech_sources import SpeechRecordings
from brainfm.finetune.trial_batch import TrialBatch
from brainfm.finetune.trial_source import Found
from einops import rearrange
from scipy.io import wavfile
from torch import Tensor, nn

from brainfm.audio_file import read_wav
from brainfm.averaging import AveragingPoint, averaging_curve
from brainfm.cli import main
from brainfm.processing_config import ProcessingConfig
from brainfm.simulation_config import SimulationConfig
from brainfm.simulation_run import simulate_dataset
from brainfm.speech_segments import SpeechSegment, parse_heard

CHANNELS = ("Fz", "Cz", "Pz", "T7", "T8", "F3", "F4", "C3", "C4", "P3", "P4", "Oz")
RATE = 64.0
WINDOW = (0.0, 0.8)
AVERAGED = -15.0
"""SNR in dB at which presentations are averaged."""


class Windows(Backbone):
    """The signal itself, two samples a frame: what a linear decoder of windows looks at."""

    @property
    def processing(self) -> ProcessingConfig:
        """Return how recordings are prepared."""
        return ProcessingConfig(sfreq=RATE, h_freq=20.0, l_freq=0.5, detect_bad=False)

    @property
    def digest(self) -> str:
        """Return a name: there are no weights."""
        return "windows of two samples"

    def build(self, example: TrialBatch, n_subjects: int) -> None:
        """Build nothing."""

    def layers(self) -> Sequence[Sequence[nn.Parameter]]:
        """Return no weights."""
        return []

    def forward(self, batch: TrialBatch) -> Tensor:
        """Return (B, T / 2, C, 1) of (B, C, T)."""
        x = batch.signal.x
        return rearrange(x[..., : x.shape[-1] // 2 * 2], "b c (p s) -> b p c s", s=2).mean(
            -1, keepdim=True
        )


class Careless(SpeechRecordings):
    """Planted mistake: every second is a unit of its own, its features are of the whole sound."""

    def recordings(self) -> list[Found]:
        """Return the recordings, their stimuli without borders."""
        return [replace(found, events=[_borderless(e) for e in found.events]) for found in
                super().recordings()]  # fmt: skip


def _borderless(event: Any) -> Any:
    heard = parse_heard(event.stimulus).attended
    whole = SpeechSegment(sound=heard.sound, at=heard.at)
    return replace(event, stimulus=whole.id, group=f"{event.group}-{heard.at:.0f}")


def digits(speech: Path, count: int) -> list[Path]:
    """Return spoken digits, as many of each speaker as of the others."""
    return sorted((speech / "fsdd").glob("*.wav"), key=lambda p: p.stem[::-1])[:count]


def sentences(speech: Path) -> list[Path]:
    """Return read sentences of 3 to 7 s."""
    return sorted((speech / "librivox_pocketsphinx_aligned").glob("*.wav"))


def simulated(folder: Path, audio: Sequence[Path], **settings: Any) -> Path:
    """Return a data set, made if it is not there; jitter hides how long sounds are."""
    if not folder.exists():
        known = {"sfreq": 128.0, "montage": "standard_1020", "gap": 0.1, "jitter": 0.4}
        cfg = SimulationConfig(**{**known, **settings})
        with contextlib.redirect_stderr(io.StringIO()):
            simulate_dataset(folder, cfg, audio=audio, channels=CHANNELS)
    return folder


def settings(data: Path, audio: str, *, by: str = "group", source: str = "") -> dict[str, Any]:
    """Return what ``--config`` takes."""
    known = "brainfm.finetune.speech_sources.SpeechRecordings"
    return {
        "data": {
            "source": {
                "class_path": source or known,
                "init_args": {"root": str(data), "layout": "simulated", "audio": audio,
                              "events": {"block_s": 0.0}},
            },
            "trials": {"window": list(WINDOW), "outside": "drop"},
            "split": {"by": by, "folds": 2, "validation": 0.2},
            "targets": {
                "class_path": "brainfm.finetune.speech_targets.SpeechTargets",
                "init_args": {"audio": [audio], "features": {"mel_bands": 8}, "rate": 25.0},
            },
            "batch_size": 256,
        },
        "model": {
            "backbone": {"class_path": f"{Windows.__module__}.Windows"},
            "head": {
                "class_path": "brainfm.finetune.retrieval.Retrieval",
                "init_args": {"contrast": {"time": "flat"}, "pooling": {"kind": "flat"}},
            },
            "adaptation": {"kind": "ridge"},
        },
        "trainer": {"accelerator": "cpu", "enable_progress_bar": False},
    }  # fmt: skip


def fit(run: Path, config: dict[str, Any]) -> tuple[int, str]:
    """Run ``brainfm finetune fit``; return its exit status and what it said."""
    run.parent.mkdir(parents=True, exist_ok=True)
    path = run.with_suffix(".yaml")
    path.write_text(yaml.safe_dump(config))
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        status = main(["finetune", "fit", "--config", str(path), "--out", str(run)])
    return status, said.getvalue()


def decoded(data: Path, audio: str) -> DecodedRun:
    """Return the run on a data set, made if it is not there."""
    run = data.with_name(f"{data.name}-run")
    status, said = fit(run, settings(data, audio))
    if status:
        raise RuntimeError(said)
    return load_run(run)


def top10(run: DecodedRun) -> Any:
    """Return the score of top-10 accuracy, and the size of the gallery."""
    (measure,) = [m for m in measures_of(run) if m.metric.name == "top-10"]
    return score_measure(run, measure, ScoringConfig(n_permutations=400)), measure.gallery_size


def planted(args: argparse.Namespace) -> None:
    """Print top-10 by signal-to-noise ratio and by presentations averaged."""
    audio = digits(args.speech, args.sounds)
    print("| SNR (dB) | top-10 | 95 % over people | chance | p | gallery |\n" + "|---" * 6 + "|")
    curve: list[AveragingPoint] = []
    for snr in args.snr:
        data = simulated(
            args.out / f"snr{snr:g}-{args.subjects}-{args.duration:g}-{args.sounds}", audio,
            subjects=args.subjects, duration=args.duration, snr=snr, speech="mel",
        )  # fmt: skip
        run = decoded(data, str(args.speech / "fsdd"))
        found, gallery = top10(run)
        low, high = found.interval
        print(
            f"| {snr:g} | {found.value:.3f} | {low:.3f} to {high:.3f} | {found.chance:.3f} | "
            f"{found.p_value:.4f} | {gallery[0]} to {gallery[1]} |"
        )
        if snr == AVERAGED:
            there = searched(run)
            curve = averaging_curve(
                there.similarity, there.place, run.subjects, over_subjects=True, top=(10,),
                generator=np.random.default_rng(0),
            )  # fmt: skip
    if curve:
        names = list(curve[0].values)
        print(f"\nAt {AVERAGED:g} dB, presentations of different people averaged:\n")
        print(f"| presentations | {' | '.join(names)} |\n" + "|---" * (1 + len(names)) + "|")
        for point in curve:
            values = [float(np.mean(list(point.values[name].values()))) for name in names]
            print(f"| {point.k} | {' | '.join(f'{value:.3f}' for value in values)} |")


def null(args: argparse.Namespace) -> None:
    """Print how often intervals cover chance where nothing was planted."""
    audio = digits(args.speech, args.sounds)
    scores = []
    for seed in range(args.seeds):
        data = simulated(
            args.out / f"null{seed}-{args.subjects}-{args.duration:g}-{args.sounds}", audio,
            subjects=args.subjects, duration=args.duration, null=True, seed=100 + seed,
            speech="mel",
        )  # fmt: skip
        scores.append(top10(decoded(data, str(args.speech / "fsdd")))[0])
    values = np.array([s.value for s in scores])
    chance = np.array([s.chance for s in scores])
    inside = [s.interval[0] <= s.chance <= s.interval[1] for s in scores]
    low = [s.p_value < 0.05 for s in scores]
    error = (values - chance).std(ddof=1) / np.sqrt(len(values))
    print(f"{len(scores)} seeds, {args.subjects} synthetic people, nothing planted")
    print(f"top-10 less chance ({chance.mean():.3f}): {(values - chance).mean():+.4f}, "
          f"standard error {error:.4f}")  # fmt: skip
    print(f"95 % intervals over people that cover chance: {sum(inside)} of {len(inside)}")
    print(f"p below .05: {sum(low)} of {len(low)}; smallest {min(s.p_value for s in scores):.3f}")


def leaks(args: argparse.Namespace) -> int:
    """Print what the audit says of mistakes made on purpose; return 1 if it missed one."""
    audio = sentences(args.speech)
    folder, copies = args.out / "sentences", args.out / "copies"
    for new in (folder, copies):
        new.mkdir(parents=True, exist_ok=True)
    for path in audio:
        samples, rate = read_wav(path)
        wavfile.write(folder / path.name, rate, samples)
        wavfile.write(copies / path.name, rate, samples)
        # The same sentence in another file: other bytes, another name.
        wavfile.write(copies / f"again-{path.name}", rate, np.append(samples, samples[:800] * 0))
    small = {"subjects": 2, "duration": 120.0, "snr": -10.0}
    data = simulated(args.out / "read", sorted(folder.iterdir()), **small)
    twice = simulated(args.out / "twice", sorted(copies.iterdir()), **small)
    cases = {
        "sound": settings(data, str(folder)),
        "segments split at random": settings(data, str(folder), by="stimulus"),
        "sentences on both sides": settings(twice, str(copies)),
        "targets computed across the border": settings(
            data, str(folder), source=f"{Careless.__module__}.Careless"
        ),
    }
    missed = 0
    for name, config in cases.items():
        status, said = fit(args.out / f"leak-{name.replace(' ', '-')}", config)
        wrong = (status == 0) != (name == "sound") or (status and "the folds leak" not in said)
        missed += bool(wrong)
        last = said.strip().splitlines()[-1] if status else "runs"
        print(f"{'WRONG: ' if wrong else ''}{name}: {last}")
    return int(missed > 0)


def _options(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("planted", "null", "leaks", "texts", "words"))
    parser.add_argument("--speech", type=Path, default=Path("../shared/data/speech"))
    parser.add_argument("--out", type=Path, required=True, help="folder for scratch files")
    parser.add_argument("--subjects", type=int, default=8)
    parser.add_argument("--duration", type=float, default=240.0, help="s per recording")
    parser.add_argument("--sounds", type=int, default=160, help="digits that are played")
    parser.add_argument("--snr", type=float, nargs="+", default=[-30.0, -25.0, -20.0, -15.0, -10.0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--text-snr", type=float, default=10.0, help="dB, of texts and words")
    parser.add_argument("--text-subjects", type=int, default=6, help="of texts and words")
    parser.add_argument("--text-duration", type=float, default=180.0, help="s, of texts and words")
    parser.add_argument("--sentences", type=int, default=240, help="of texts, by one voice")
    parser.add_argument("--epochs", type=int, help="of texts and words; default: the preset's")
    args = parser.parse_args(words)
    args.out, args.speech = args.out.absolute(), args.speech.absolute()
    return args


def run(words: Sequence[str] | None = None) -> int:
    """Do what is asked for."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    args = _options(words)
    if args.what in ("texts", "words"):
        import decoding_synthetic_text

        getattr(decoding_synthetic_text, args.what)(args, simulated)
        return 0
    return {"planted": planted, "null": null, "leaks": leaks}[args.what](args) or 0


if __name__ == "__main__":
    # Settings name classes of this file by the module that it is imported as.
    import decoding_synthetic

    sys.exit(decoding_synthetic.run())
