"""What was planted in a synthetic recording, for whoever wants to check what was found.

Per recording an ``.npz`` of plain arrays and a ``.json`` that says what they are.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from brainfm.atomic import atomic_path, write_json_atomic
from brainfm.sensors import FloatArray
from brainfm.simulation_config import SimulationConfig
from brainfm.synthetic_bold import SLOW_RATE, hemodynamic_response
from brainfm.synthetic_events import Presentation
from brainfm.synthetic_person import Component, SyntheticPerson
from brainfm.synthetic_session import Session

ARRAYS = {
    "positions": "(M, 3) dipoles, m in head coordinates",
    "orientations": "(M, 3) unit vectors",
    "component": "(M,) index of the component that a dipole belongs to",
    "lead_field": "(C, K) V, T or T/m per A m, the channels' gains included",
    "gains": "(C,)",
    "courses": "(K, T) A m; lead_field @ courses is what was planted",
    "drives": "(K', T) drives of the first K' components: features of sounds, impulses of pictures",
    "kernels": "(K', L) A m per unit of drive; courses[:K'] is drives convolved with them",
    "lags": "(L,) s",
    "image_weights": "(N, K'') answer to every picture, by image component",
    "bold_drive": "(R, G) power of every rhythm, standardised, at bold_drive_times",
    "bold_drive_times": "(G,) s from the first sample",
    "bold_lags": "(R,) s beyond the canonical response",
    "bold_couplings": "(R,) percent BOLD per standard deviation of the convolved drive",
    "hemodynamic_response": "canonical response at 10 Hz, sum one",
}
"""What every array of the truth is."""


def write_truth(
    stem: Path,
    *,
    cfg: SimulationConfig,
    components: tuple[Component, ...],
    person: SyntheticPerson,
    session: Session,
    snr: Mapping[str, float],
    image_weights: FloatArray | None,
) -> None:
    """Write ``STEM.npz`` and ``STEM.json``.

    Parameters
    ----------
    stem
        Path without suffix.
    cfg
        The settings.
    components
        Names of the K components.
    person, session
        Whose brain, and what it did, as planted.
    snr
        What was made, in dB by channel type.
    image_weights
        (N, K'') of :class:`~brainfm.synthetic_images.Pictures`.
    """
    arrays: dict[str, Any] = {
        "positions": person.positions,
        "orientations": person.orientations,
        "component": person.component,
        "lead_field": person.lead_field,
        "gains": person.head.gains,
        "courses": session.courses.astype(np.float32),
        "drives": session.drives.astype(np.float32),
        "kernels": session.kernels,
        "lags": np.arange(session.kernels.shape[1]) / cfg.sfreq,
    }
    if image_weights is not None:
        arrays["image_weights"] = image_weights
    if session.bold is not None:
        bold = session.bold
        arrays |= {
            "bold_drive": bold.drive,
            "bold_drive_times": bold.drive_start + np.arange(bold.drive.shape[1]) / SLOW_RATE,
            "bold_lags": bold.lags,
            "bold_couplings": bold.couplings,
            "hemodynamic_response": hemodynamic_response(SLOW_RATE),
        }
    with (
        atomic_path(stem.with_name(stem.name + ".npz")) as temporary,
        temporary.open("wb") as file,
    ):
        np.savez(file, **arrays)
    write_json_atomic(
        stem.with_name(stem.name + ".json"),
        {
            "synthetic": True,
            "null": cfg.null,
            "snr_asked_db": None if cfg.null else cfg.snr,
            "snr_made_db": {k: v if math.isfinite(v) else None for k, v in snr.items()},
            "snr_band_hz": [cfg.snr_low, cfg.snr_high],
            "snr_sensors": cfg.snr_kind,
            "sfreq_hz": cfg.sfreq,
            "channels": person.head.info["ch_names"],
            "components": [component.name for component in components],
            "silences_s": silences([p for p in session.presentations if p.kind == "speech"]),
            "latencies_s": person.latencies[: len(session.kernels)].tolist(),
            "head_centre_m": person.head.centre.tolist(),
            "head_radius_m": person.head.radius,
            "arrays": {name: ARRAYS[name] for name in arrays},
        },
    )


def silences(heard: Sequence[Presentation]) -> list[float]:
    """Return the silence in s before each of the sounds that were heard, by onset."""
    ends = [0.0, *(shown.onset + shown.duration for shown in heard)]
    return [round(shown.onset - end, 6) for shown, end in zip(heard, ends, strict=False)]
