"""The numbers of a fidelity card: every group of recordings, sensor type, band and measure.

A *group* is a side of the split and a sensor array (a device and its channels).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from brainfm.brain_tokenizer import TokenizerConfig
from brainfm.checkpoints import codes_digest, software_versions
from brainfm.corpus import Corpus
from brainfm.encoder import Encoder
from brainfm.fidelity import Reconstructed, WindowGrid, reconstruct
from brainfm.fidelity_measures import MEASURES, WHOLE, Sums, recording_sums, value_of
from brainfm.fidelity_pool import Members, pooled
from brainfm.held_out import TRAINING, Shown, array_name, sides_of
from brainfm.quantile_tokenizer import quantile_reconstruction
from brainfm.quantizer import QuantizerConfig
from brainfm.report_codes import usage_numbers
from brainfm.report_summary import data_numbers
from brainfm.splits import Split
from brainfm.token_statistics import code_counts

CODES, QUANTILES, SILENCE = "codes", "quantiles", "zero"
"""What is compared: the tokenizer, fixed quantiles at as many bits, and predicting zero."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Measured:
    """One recording and its sums.

    Parameters
    ----------
    shown
        Which recording.
    lowpass
        Hz above which it holds nothing; NaN where unknown.
    sums
        What :func:`recording_sums` returned.
    n_windows
        Windows that were looked at.
    counts
        (Q, K) how often its codes occurred.
    """

    shown: Shown
    lowpass: float
    sums: Mapping[tuple[str, str], Mapping[str, Sums]]
    n_windows: int
    counts: torch.Tensor

    @property
    def subject(self) -> str:
        """Return who was recorded, with the data set."""
        return f"{self.shown.info.dataset}/{self.shown.info.subject}"

    @property
    def group(self) -> tuple[str, str]:
        """Return side and sensor array."""
        return self.shown.side or "all", array_name(self.shown.info)

    @property
    def mean_correlation(self) -> float:
        """Return the correlation of the whole signal, mean over sensor types."""
        kinds = [kind for kind, band in self.sums if band == WHOLE]
        return float(np.mean([self.value(kind, WHOLE, "correlation") or 0.0 for kind in kinds]))

    def value(self, kind: str, band: str, measure: str, estimate: str = CODES) -> float | None:
        """Return one measure of this recording; None where there is nothing to measure."""
        sums = self.sums.get((kind, band), {}).get(estimate, {}).get(measure)
        value = np.nan if sums is None else float(value_of(measure, sums.sum(0)))
        return value if np.isfinite(value) else None


def bits_per_second(cfg: TokenizerConfig) -> float:
    """Return the bits that codes of windows without overlap take."""
    return cfg.sfreq / cfg.hop * cfg.n_sources * cfg.quantizer.bits_per_token


def measure_recording(
    encoder: Encoder, corpus: Corpus, shown: Shown, grid: WindowGrid
) -> Measured | None:
    """Send a recording through the codes and measure what is left; None without a clean window."""
    result = reconstruct(encoder, corpus, shown.place, grid)
    if not result.original:
        return None
    cfg = encoder.model.tokenizer.cfg
    baseline = quantile_reconstruction(
        result.original, result.sfreq, bits_per_second=bits_per_second(cfg)
    )
    lowpass = float(corpus.columns.lowpass[shown.place])
    estimates = {CODES: result.reconstruction, QUANTILES: baseline}
    return Measured(
        shown=shown,
        lowpass=lowpass,
        sums=recording_sums(result, estimates, lowpass),
        n_windows=sum(piece.shape[1] for piece in result.original) // result.window,
        counts=count_codes(result, cfg.quantizer),
    )


def count_codes(result: Reconstructed, cfg: QuantizerConfig) -> torch.Tensor:
    """Return how often each code of each level occurs in a reconstruction, (Q, K)."""
    counts = torch.zeros(cfg.n_quantizers, cfg.codebook_size, dtype=torch.int64)
    for codes in result.codes:
        counts += code_counts(torch.from_numpy(codes), cfg.codebook_size)
    return counts


def group_numbers(
    found: Sequence[Measured], corpus: Corpus, split: Split | None
) -> list[dict[str, Any]]:
    """Return one row, as JSON values, for every group, sensor type and band."""
    trained = {array_name(corpus.recordings[i]) for i in sides_of(corpus, split).get(TRAINING, [])}
    rows = []
    for group in dict.fromkeys(one.group for one in found):
        members = [one for one in found if one.group == group]
        for kind, band in dict.fromkeys(key for one in members for key in one.sums):
            holding = [one for one in members if (kind, band) in one.sums]
            who = Members(
                subjects=tuple(one.subject for one in holding),
                windows=tuple(one.n_windows for one in holding),
            )
            rows.append(
                {
                    "side": group[0],
                    "array": group[1],
                    "device_in_training": group[1] in trained if split else None,
                    "sensor_type": kind,
                    "n_channels": holding[0].shown.info.types[kind],
                    "band": band,
                    "n_recordings": len(holding),
                    "n_subjects": len(set(who.subjects)),
                    "n_windows": sum(who.windows),
                    "interval_over": who.over,
                    "measures": _measures(holding, who, kind, band),
                }
            )
    return rows


def _measures(holding: Sequence[Measured], who: Members, kind: str, band: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, measure in MEASURES.items():
        sums = [one.sums[kind, band] for one in holding]
        if any(name not in each[CODES] for each in sums):
            continue
        entry: dict[str, Any] = {
            estimate: pooled(name, who, [each[estimate][name] for each in sums])._asdict()
            for estimate in (CODES, QUANTILES)
        }
        if entry[CODES]["value"] is None:
            continue
        found[name] = {**entry, SILENCE: {"value": measure.silent, "interval": None}}
    return found


def recording_numbers(found: Sequence[Measured]) -> list[dict[str, Any]]:
    """Return one row for every recording, sensor type and band: values of the codes alone."""
    return [
        {
            "recording": one.shown.info.id,
            "subject": one.subject,
            "side": one.group[0],
            "array": one.group[1],
            "sensor_type": kind,
            "band": band,
            "lowpass": one.lowpass if np.isfinite(one.lowpass) else None,
            "n_windows": one.n_windows,
            **{name: one.value(kind, band, name) for name in MEASURES},
        }
        for one in found
        for kind, band in one.sums
    ]


def total_counts(found: Sequence[Measured]) -> torch.Tensor:
    """Return how often each code occurred in all recordings, (Q, K)."""
    return torch.stack([one.counts for one in found]).sum(0)


def code_numbers(cfg: TokenizerConfig, found: Sequence[Measured]) -> dict[str, Any]:
    """Return bits a second and the use of each level."""
    counts = total_counts(found)
    levels = usage_numbers(counts)
    most = bits_per_second(cfg)
    share = sum(level["bits"] for level in levels) / sum(level["max_bits"] for level in levels)
    return {
        "bits_per_second": most,
        "used_bits_per_second": most * share,
        "n_tokens": int(counts[0].sum()),
        "levels": levels,
    }


def card_numbers(
    encoder: Encoder, corpus: Corpus, split: Split | None, found: Sequence[Measured]
) -> dict[str, Any]:
    """Return everything that was measured as JSON values."""
    return {
        "software": software_versions(),
        "codes_digest": codes_digest(encoder.model.tokenizer, encoder.model.record.input_contract),
        "training": encoder.model.record.training,
        "corpus_digest": corpus.digest,
        "split_digest": split.digest if split else None,
        "split_of_training": training_match(encoder, split),
        "data": data_numbers(corpus, split),
        "groups": group_numbers(found, corpus, split),
        "recordings": recording_numbers(found),
        "codes": code_numbers(encoder.model.tokenizer.cfg, found),
    }


def training_match(encoder: Encoder, split: Split | None) -> bool | None:
    """Tell whether the checkpoint was trained with this very split; None where it does not say."""
    digest = encoder.model.record.training.get("tokenizer", {}).get("split_digest")
    return None if digest is None or split is None else bool(digest == split.digest)


def load_split(corpus: Corpus, path: Path | None) -> Split | None:
    """Return the split that was named, else ``split.json`` of the corpus, else None."""
    if path is not None:
        return Split.load(path)
    own = corpus.path / "split.json"
    return Split.load(own) if own.exists() else None
