"""The page that lies beside a synthetic data set."""

from brainfm.simulation_config import SimulationConfig


def readme(cfg: SimulationConfig) -> str:
    """Return the text of the data set's README."""
    level = (
        "Nothing is planted: stimuli, events and noise are there, the response is not (null)."
        if cfg.null
        else f"What is planted has {cfg.snr:g} dB of everything else's power between "
        f"{cfg.snr_low:g} and {cfg.snr_high:g} Hz (sensors: {cfg.snr_kind})."
    )
    pace = (
        "The times from one sound to the next tell nothing of the sounds."
        if cfg.jitter
        else f"A sound begins {cfg.gap:g} s after the end of the last one: the time from one to "
        "the next tells how long a sound is, without any brain."
    )
    return f"""# Synthetic EEG and MEG

All recordings here are synthetic: computed by 'brainfm simulate', not recorded from people. Numbers
measured on them say how a method does on this simulation and nothing of brains.

{cfg.subjects} synthetic people, {cfg.sessions} sessions each, {cfg.duration:g} s at
{cfg.sfreq:g} Hz.
{level}

    sub-01/ses-01/sub-01_ses-01_task-synthetic_raw.fif     signal in V, T and T/m; annotations
    sub-01/ses-01/sub-01_ses-01_task-synthetic_events.tsv  onset and duration in s, stimuli
    sub-01/ses-01/sub-01_ses-01_task-synthetic_bold.tsv    BOLD of regions in percent (if asked for)
    words.tsv                                              words of the sounds (if known)
    truth/sub-01_ses-01_task-synthetic_truth.npz, .json    what was planted, and at what ratio
    truth/simulation.json                                  all settings and the stimuli

{pace}

Equal content_id in events.tsv means equal stimulus, whatever its name. The same command line with
the same seed ({cfg.seed}) makes the same samples. numpy.load reads the truth without pickle; the
.json beside it says what every array is.
"""
