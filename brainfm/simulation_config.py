"""What a synthetic data set holds: people, sensors, planted responses and noise."""

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class SimulationConfig:
    """Settings of :func:`brainfm.simulation_run.simulate_dataset`.

    Parameters
    ----------
    subjects
        Number of synthetic people; the first ones are the same whatever the number.
    sessions
        Recordings of each person: the same head, new noise and order of stimuli.
    duration
        Length of every recording in s.
    sfreq
        Samples per second.
    seed
        The same seed gives the same samples, bit for bit, on the same machine and versions.
    montage
        Electrodes: an MNE standard montage (``biosemi64``), an electrode file, or ``none``.
    meg
        MEG array beside the electrodes: ``neuromag`` (306 coils) or ``none``.
    snr
        Power of what is planted over the power of everything else, in dB, mean over the sensors
        named by ``snr_sensors`` and over the recording, between ``snr_low`` and ``snr_high``. At
        -30 dB two minutes of 32 electrodes give back the envelope of speech with r of about .25.
    null
        Plant nothing: noise, stimuli and truth stay, the response is left out of the sensors.
    snr_sensors
        Sensors that ``snr`` speaks of; others get what the same dipoles give them. ``auto``: EEG
        where there is any, else magnetometers.
    snr_low
        Lower edge in Hz of the band that ``snr`` is measured in.
    snr_high
        Upper edge in Hz.
    latency
        Delay in s of the largest peak of the response to sound or picture; people differ by a few
        per cent about it.
    speech
        What of the sound drives the brain: its ``envelope``, or the ``mel`` bands of its spectrum.
    mel_bands
        Number of mel bands, each with a place of its own.
    gap
        Silence in s before every sound.
    jitter
        0: sounds follow each other after ``gap``, so that the time until the next one tells how
        long a sound is. Above 0, the times from onset to onset tell nothing of the sounds: the
        longest one's length, ``gap`` and a random time of up to this, in s.
    soa
        Time in s from picture to picture.
    image_components
        Places that picture features drive, each by its own random mixture of them.
    bold_rois
        Regions whose 10 Hz rhythm waxes and wanes, and whose BOLD signal follows; 0: no BOLD.
    tr
        Time in s from volume to volume.
    bold_snr
        Variance of the BOLD response over that of its noise, in dB.
    line_freq
        Mains frequency in Hz; 0: no line noise.
    blinks
        Blinks a minute; 0: none.
    heart_rate
        Heartbeats a minute; 0: none.
    """

    subjects: int = 4
    sessions: int = 1
    duration: float = 300.0
    sfreq: float = 256.0
    seed: int = 0
    montage: str = "biosemi64"
    meg: Literal["none", "neuromag"] = "none"
    snr: float = -25.0
    null: bool = False
    snr_sensors: Literal["auto", "eeg", "mag", "grad"] = "auto"
    snr_low: float = 1.0
    snr_high: float = 30.0
    latency: float = 0.1
    speech: Literal["envelope", "mel"] = "envelope"
    mel_bands: int = 8
    gap: float = 1.0
    jitter: float = 0.0
    soa: float = 1.0
    image_components: int = 4
    bold_rois: int = 0
    tr: float = 2.0
    bold_snr: float = 3.0
    line_freq: float = 50.0
    blinks: float = 12.0
    heart_rate: float = 66.0

    def __post_init__(self) -> None:
        for name in ("subjects", "sessions", "mel_bands", "image_components"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("seed", "bold_rois", "gap", "jitter", "line_freq", "blinks", "heart_rate"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be 0 or more, got {getattr(self, name)}")
        for name in ("duration", "sfreq", "latency", "soa", "tr"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name):g}")
        for name in ("snr", "bold_snr"):
            if not math.isfinite(getattr(self, name)):
                raise ValueError(
                    f"{name} must be a number of dB, got {getattr(self, name):g}; for no response "
                    "at all there is null (--null)"
                )
        if self.n_times < 2 * self.sfreq:
            raise ValueError(f"duration must be at least 2 s, got {self.duration:g}")
        if not 0 < self.snr_low < self.snr_high < self.sfreq / 2:
            raise ValueError(
                f"snr_low and snr_high must rise between 0 and half of sfreq ({self.sfreq / 2:g} "
                f"Hz), got {self.snr_low:g} and {self.snr_high:g}"
            )
        if self.latency > 0.5:
            raise ValueError(f"latency must be at most 0.5 s, got {self.latency:g}")
        if self.meg == "none" and (self.montage == "none" or self.snr_sensors in ("mag", "grad")):
            raise ValueError("no such sensors: give montage, or meg 'neuromag', or both")
        if self.montage == "none" and self.snr_sensors == "eeg":
            raise ValueError("snr_sensors 'eeg' needs a montage, got montage 'none'")
        for name, most in (("blinks", 60), ("heart_rate", 200)):
            if getattr(self, name) > most:
                raise ValueError(
                    f"{name} must be at most {most} a minute, got {getattr(self, name):g}"
                )
        if self.bold_rois and (self.duration < 4 * self.tr or self.sfreq < 50):
            raise ValueError(
                f"BOLD needs a duration of at least 4 volumes (4 x {self.tr:g} s) and sfreq of at "
                f"least 50 Hz, got {self.duration:g} s and {self.sfreq:g} Hz"
            )

    @property
    def snr_kind(self) -> str:
        """Return MNE's type of the channels that ``snr`` speaks of."""
        if self.snr_sensors != "auto":
            return self.snr_sensors
        return "mag" if self.montage == "none" else "eeg"

    @property
    def n_times(self) -> int:
        """Return the number of samples of a recording."""
        return round(self.duration * self.sfreq)
