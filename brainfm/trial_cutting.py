"""Cut recordings into trials: from events to the table. No sample is read."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from brainfm.recording_info import RecordingInfo
from brainfm.recordings import Recording
from brainfm.trial_events import Event
from brainfm.trials import Trial, TrialConfig, Trials, seen_samples

MAX_LISTED = 20


def info_of(
    recording: Recording,
    *,
    id: str,
    dataset: str = "",
    subject: str = "",
    session: str = "",
    task: str = "",
    run: str = "",
) -> RecordingInfo:
    """Describe a recording that is in no corpus; a subject not given is that of its header."""
    return RecordingInfo(
        id=id,
        dataset=dataset,
        subject=subject or recording.subject or "",
        session=session,
        task=task,
        run=run,
        source=Path(recording.source).name,
        device=recording.device,
        sfreq=recording.sfreq,
        n_times=recording.n_times,
    )


def make_trials(
    found: Iterable[tuple[RecordingInfo, Sequence[Event]]], config: TrialConfig
) -> Trials:
    """Cut recordings into trials.

    Parameters
    ----------
    found
        Recordings, whose ``n_times`` must be known, and the events of each.
    config
        Which events, which windows.

    Raises
    ------
    ValueError
        An event name that no recording has, a trial beyond its recording, the same event twice, a
        class without trials, fewer than two trials, two recordings of one id.
    """
    pairs = [(info, list(events)) for info, events in found]
    known = {event.name for _, events in pairs for event in events}
    unknown = [name for name in config.labels if name not in known]
    if unknown:
        listed = sorted(known)
        more = ", ..." if len(listed) > MAX_LISTED else ""
        raise ValueError(
            f"no recording has an event {', '.join(map(repr, unknown))}; the events there are: "
            f"{', '.join(listed[:MAX_LISTED]) or 'none'}{more}"
        )
    rows: dict[Trial, None] = {}
    infos: dict[str, RecordingInfo] = {}
    dropped = []
    for info, events in pairs:
        if info.id in infos:
            raise ValueError(f"two recordings have the id {info.id}")
        infos[info.id] = info
        for event in events:
            label = config.labels.get(event.name) if config.labels else event.name
            if label is None:
                continue
            if problem := _beyond(event, info, config):
                dropped.append(problem)
                continue
            trial = Trial(
                recording=info.id,
                onset=event.onset,
                label=label,
                stimulus=event.stimulus or event.name,
                group=event.group or event.stimulus or event.name,
            )
            if trial in rows:
                raise ValueError(
                    f"recording {info.id} lists event {event.name!r} at {event.onset:g} s twice"
                )
            rows[trial] = None
    if dropped and config.outside == "error":
        raise ValueError(f"{dropped[0]}{_others(dropped)}; shorten it or set outside='drop'")
    _check(rows, config, dropped)
    ordered = sorted(rows, key=_order)
    used = {trial.recording for trial in ordered}
    return Trials(
        config=config,
        recordings={key: infos[key] for key in sorted(used)},
        rows=averaged(ordered, config.average),
        dropped=tuple(dropped),
    )


def averaged(rows: Sequence[Trial], n: int) -> tuple[Trial, ...]:
    """Return trials of up to n presentations of one stimulus in a recording each; 0: of all.

    Parameters
    ----------
    rows
        Trials of a presentation each, by recording and onset.
    """
    if n == 1:
        return tuple(rows)
    same: dict[tuple[str, str, str, str], list[Trial]] = {}
    for trial in rows:
        key = (trial.recording, trial.label, trial.stimulus, trial.group)
        same.setdefault(key, []).append(trial)
    found = []
    for members in same.values():
        size = n or len(members)
        for k in range(0, len(members), size):
            first, *rest = members[k : k + size]
            found.append(replace(first, repeats=tuple(trial.onset for trial in rest)))
    if len(found) < 2:
        raise ValueError(
            f"averaging the {len(rows)} trials leaves {len(found)}, at least 2 are needed; lower "
            "average"
        )
    return tuple(sorted(found, key=_order))


def _order(trial: Trial) -> tuple[str, float, str, str, str]:
    return trial.recording, trial.onset, trial.label, trial.stimulus, trial.group


def _beyond(event: Event, info: RecordingInfo, config: TrialConfig) -> str:
    """Return what is wrong with the place of an event, empty if nothing is."""
    where = f"recording {info.id}: event {event.name!r} at {event.onset:g} s"
    if not 0 <= event.onset < info.duration:
        return f"{where} is outside of the recording, which lasts {info.duration:g} s"
    start, stop = seen_samples(event.onset, config, info.sfreq)
    if start < 0 or stop > info.n_times:
        return (
            f"{where}: its window {start / info.sfreq:g} to {stop / info.sfreq:g} s reaches "
            f"beyond the recording, which lasts {info.duration:g} s"
        )
    return ""


def _others(dropped: Sequence[str]) -> str:
    return f" (and {len(dropped) - 1} more such events)" if len(dropped) > 1 else ""


def _check(rows: Mapping[Trial, None], config: TrialConfig, dropped: Sequence[str]) -> None:
    there = {trial.label for trial in rows}
    empty = sorted(set(config.labels.values()) - there)
    lost = f"; {len(dropped)} events were dropped, e.g. {dropped[0]}" if dropped else ""
    if empty:
        raise ValueError(f"class {', '.join(map(repr, empty))} has no trial{lost}")
    if len(rows) < 2:
        raise ValueError(f"{len(rows)} trials are too few, at least 2 are needed{lost}")
