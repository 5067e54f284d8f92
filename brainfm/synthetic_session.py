"""One recording of a synthetic person: what was shown, what the brain did of it, and the sensors.

Shapes: C sensors, K components, T samples, L lags.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy import signal

from brainfm.sensors import FloatArray
from brainfm.simulation_config import SimulationConfig
from brainfm.synthetic_bold import Bold, make_bold
from brainfm.synthetic_events import Presentation
from brainfm.synthetic_images import Pictures, picture_drive, present_pictures
from brainfm.synthetic_noise import NoiseStream
from brainfm.synthetic_person import Component, SyntheticPerson, response_kernel
from brainfm.synthetic_speech import Sound, present_sounds, speech_drive

BLOCK_S = 10.0
"""The sensors are computed in blocks of this length."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Stimuli:
    """Everything that a data set plays and shows."""

    sounds: tuple[Sound, ...] = ()
    pictures: Pictures | None = None

    def components(self, cfg: SimulationConfig) -> tuple[Component, ...]:
        """Return the components of the brain that answer: sounds, pictures, then rhythms."""
        n_speech = len(self.sounds[0].features) if self.sounds else 0
        n_image = self.pictures.weights.shape[1] if self.pictures else 0
        counts = (
            ("speech", "auditory", n_speech),
            ("image", "visual", n_image),
            ("rhythm", "rhythm", cfg.bold_rois),
        )
        return tuple(
            Component(name=f"{name}-{k}", region=region)
            for name, region, count in counts
            for k in range(count)
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Session:
    """What the brain does in one recording.

    Parameters
    ----------
    presentations
        What was played and shown, by onset.
    drives
        (K', T) what drives the first K' components, those that answer to stimuli.
    kernels
        (K', L) their responses per sample of drive; ``courses`` are the causal convolution.
    courses
        (K, T) dipole moments. As made by :func:`make_session` with a standard deviation of one;
        as planted, in A m.
    bold
        The rhythms and BOLD, None without.
    """

    presentations: tuple[Presentation, ...]
    drives: FloatArray
    kernels: FloatArray
    courses: FloatArray
    bold: Bold | None

    def planted(self, moment: float) -> "Session":
        """Return the session with courses and kernels times ``moment`` (A m)."""
        return replace(self, kernels=self.kernels * moment, courses=self.courses * moment)


def make_session(
    cfg: SimulationConfig,
    person: SyntheticPerson,
    stimuli: Stimuli,
    *,
    generator: np.random.Generator,
) -> Session:
    """Draw the order of stimuli and compute what the person's brain makes of them.

    Raises
    ------
    ValueError
        The recording is too short for a single stimulus, or holds nothing but silence.
    """
    hearing, seeing, blood = generator.spawn(3)
    heard = present_sounds(stimuli.sounds, cfg, generator=hearing)
    drives = [np.zeros((0, cfg.n_times))]
    seen: list[Presentation] = []
    if stimuli.sounds:
        _some(heard, cfg, "sound", f"after a gap of {cfg.gap:g} s")
        drives.append(speech_drive(stimuli.sounds, heard, cfg))
    if stimuli.pictures is not None:
        seen = present_pictures(stimuli.pictures, cfg, generator=seeing)
        _some(seen, cfg, "picture", f"after soa ({cfg.soa:g} s) with its response of 1 s")
        drives.append(picture_drive(stimuli.pictures, seen, cfg))
    drive = np.concatenate(drives)
    shapes = [response_kernel(latency, cfg.sfreq) for latency in person.latencies[: len(drive)]]
    kernels = np.zeros((len(shapes), max((len(shape) for shape in shapes), default=1)))
    courses = np.empty_like(drive)
    for k, shape in enumerate(shapes):
        kernels[k, : len(shape)] = shape
        courses[k] = signal.oaconvolve(drive[k], shape)[: cfg.n_times]
        size = courses[k].std()
        if not size > 0:
            raise ValueError(
                f"what is presented in {cfg.duration:g} s drives nothing (silence?): make the "
                "duration longer or leave out silent stimuli"
            )
        courses[k] /= size
        kernels[k] /= size
    bold = None
    if cfg.bold_rois:
        bold = make_bold(cfg, person.bold_lags, person.bold_couplings, generator=blood)
        courses = np.concatenate([courses, bold.rhythms])
    return Session(
        presentations=tuple(sorted([*heard, *seen], key=lambda p: p.onset)),
        drives=drive,
        kernels=kernels,
        courses=courses,
        bold=bold,
    )


def _some(shown: list[Presentation], cfg: SimulationConfig, what: str, why: str) -> None:
    if not shown:
        raise ValueError(f"duration {cfg.duration:g} s holds no {what} {why}: make it longer")


@dataclass(kw_only=True)
class BandPower:
    """Mean power (C,) in a band over all blocks given to it, in order.

    The band is cut by a Butterworth filter of order 4, whose state goes from block to block.
    """

    sos: FloatArray
    _state: Any = None
    _sum: Any = 0.0
    _count: int = field(default=0)

    @classmethod
    def of(cls, cfg: SimulationConfig) -> "BandPower":
        """Return a meter of the band that the SNR is defined in."""
        band = (cfg.snr_low, cfg.snr_high)
        return cls(sos=signal.butter(4, band, "bandpass", fs=cfg.sfreq, output="sos"))

    def add(self, block: FloatArray) -> None:
        """Take the next block (C, n)."""
        if self._state is None:
            self._state = np.zeros((len(self.sos), len(block), 2))
        cut, self._state = signal.sosfilt(self.sos, block, axis=1, zi=self._state)
        self._sum = self._sum + (cut**2).sum(axis=1)
        self._count += block.shape[1]

    @property
    def mean(self) -> FloatArray:
        """Return the mean square (C,)."""
        return np.asarray(self._sum / self._count)


def record(
    cfg: SimulationConfig,
    person: SyntheticPerson,
    session: Session,
    sensors: FloatArray,
    *,
    generator: np.random.Generator,
) -> tuple[float, dict[str, float]]:
    """Fill ``sensors`` with noise and plant the session in it at the SNR asked for.

    Memory beside ``sensors`` grows by a block only: ``sensors`` may be mapped from a file.

    Parameters
    ----------
    cfg
        SNR, band, noise.
    person
        Whose head it is.
    session
        Courses of unit size.
    sensors
        (C, T) to write into: V, T and T/m.
    generator
        Source of the noise.

    Returns
    -------
    moment
        Size in A m that the courses were given; 0 for the null.
    snr
        Ratio made in dB by channel type (``eeg``, ``mag``, ``grad``); ``-inf`` for the null.
    """
    kinds = np.array(person.head.kinds)
    noise, gains = NoiseStream(cfg, person.head, generator=generator), person.head.gains[:, None]
    of_noise, of_signal = BandPower.of(cfg), BandPower.of(cfg)
    step = max(1, round(BLOCK_S * cfg.sfreq))
    spans = [slice(at, min(at + step, cfg.n_times)) for at in range(0, cfg.n_times, step)]
    for span in spans:
        block = gains * noise.read(span.stop - span.start)
        sensors[:, span] = block
        of_noise.add(block)
        of_signal.add(person.lead_field @ session.courses[:, span])
    ratio = {
        kind: float(of_signal.mean[kinds == kind].mean() / of_noise.mean[kinds == kind].mean())
        for kind in dict.fromkeys(kinds.tolist())
    }
    if cfg.null:
        return 0.0, dict.fromkeys(ratio, -np.inf)
    if not ratio[cfg.snr_kind] > 0:
        raise ValueError(
            f"nothing of what is planted lies between {cfg.snr_low:g} and {cfg.snr_high:g} Hz: "
            "widen snr_low and snr_high"
        )
    moment = float(np.sqrt(10 ** (cfg.snr / 10) / ratio[cfg.snr_kind]))
    for span in spans:
        sensors[:, span] += moment * (person.lead_field @ session.courses[:, span])
    return moment, {k: float(10 * np.log10(r * moment**2)) for k, r in ratio.items()}
