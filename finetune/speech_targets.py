"""What was heard as the thing to decode: features of the sound around every event.

Shapes: N trials, M segments, T' frames, F features, R rivals.
"""

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainfm.audio_features import AudioFeatureConfig, AudioFeatures, features_at
from brainfm.audio_file import cut_sound, read_wav
from brainfm.feature_cache import FeatureCache
from brainfm.recording_info import content_hash
from brainfm.sensors import FloatArray
from brainfm.speech_segments import Heard, SpeechSegment, parse_heard
from brainfm.target_audit import audit_contents, audit_context
from brainfm.trial_events import content_id
from brainfm.trial_splits import TrialSplit
from brainfm.trials import Trials

from .targets import Targets, TargetSource

SLACK_S = 0.05
"""How much longer than its sound a split unit may be; tables are rounded."""


class SpeechTargets(TargetSource):
    """Features of sounds, from the begin of each trial's window to its end.

    The stimulus of a trial says which sound, where in it, and in which split unit
    (:mod:`brainfm.speech_segments`); features are computed on the sound cut at the unit's borders,
    and frames beyond them hold the mean of those within. They are not standardised: only a head
    knows the training trials, which alone may decide mean and deviation. A segment is known by a
    hash of its samples: the same sound is one thing to decode, for all subjects.

    Parameters
    ----------
    audio
        WAV files, folders with such, or patterns (``**`` too); found by content, whatever they are
        called.
    features
        Which features; default: 40 log-mel bands.
    rate
        Frames per second.
    delay_s
        How much later the brain is than the sound, in s: the features of a trial begin that much
        before its window (0.15 for MEG in Defossez et al. 2023).
    cache
        Folder that keeps features for other folds and runs; empty: all is held in memory.
    """

    def __init__(
        self,
        audio: Sequence[str],
        features: AudioFeatureConfig | None = None,
        rate: float = 120.0,
        delay_s: float = 0.0,
        cache: str = "",
    ) -> None:
        if not 0 < rate < np.inf:
            raise ValueError(f"rate must be above 0 (frames per s), got {rate}")
        if not -np.inf < delay_s < np.inf:
            raise ValueError(f"delay_s must be a time in s, got {delay_s}")
        self.audio, self.rate, self.delay_s = tuple(audio), rate, delay_s
        self.folder = Path(cache) if cache else None
        self.features = AudioFeatures(features or AudioFeatureConfig(), FeatureCache(self.folder))

    def make(self, trials: Trials) -> Targets:
        """Return segments, sorted by content, and their features (M, T', F).

        Raises
        ------
        ValueError, FileNotFoundError
            A trial whose stimulus is no sound, or one that is not in ``audio``, or that lies beyond
            the end of its sound.
        """
        heard = [_heard(trials, k) for k in range(len(trials))]
        paths = sound_files(self.audio)
        named = {s.id: s for each in heard for s in (each.attended, *each.rivals)}
        missing = sorted({s.sound for s in named.values()} - set(paths))
        if missing:
            raise FileNotFoundError(
                f"{len(missing)} sounds that were heard are not among the {len(paths)} in "
                f"{', '.join(self.audio)}, e.g. the one of content {missing[0]}; name their folder "
                "in 'audio' (a sound is known by the bytes of its file: the original is needed)"
            )
        window = trials.config.window
        contents: dict[str, SpeechSegment] = {}
        content_of: dict[str, str] = {}
        sounds = _Sounds(paths)
        for name in sorted(named, key=lambda name: (named[name].sound, name)):
            content_of[name] = self._content(named[name], sounds, window)
            contents.setdefault(content_of[name], named[name])
        ids = sorted(contents)
        place = {content: row for row, content in enumerate(ids)}
        rivals = {len(each.rivals) for each in heard}
        if len(rivals) > 1:
            raise ValueError(
                f"trials have {min(rivals)} to {max(rivals)} sounds beside the attended one; all "
                "must have the same number"
            )
        return Targets(
            ids=np.array(ids, dtype=np.str_),
            rows=np.array([place[content_of[h.attended.id]] for h in heard], dtype=np.int64),
            values=self._values([contents[i] for i in ids], sounds, window),
            rivals=np.array(
                [[place[content_of[rival.id]] for rival in h.rivals] for h in heard],
                dtype=np.int64,
            ).reshape(len(heard), rivals.pop())
            if rivals != {0}
            else None,
        )

    def audit(self, trials: Trials, targets: Targets, split: TrialSplit) -> list[str]:
        """Return targets computed across borders, and contents on two sides of a split."""
        return audit_context(trials, split) + audit_contents(
            trials, split, targets.rows, targets.ids
        )

    def _times(self, segment: SpeechSegment, window: tuple[float, float]) -> FloatArray:
        """Return the time of every frame in the sound, s."""
        frames = max(1, round((window[1] - window[0]) * self.rate))
        return segment.at + window[0] - self.delay_s + np.arange(frames) / self.rate

    def _content(
        self, segment: SpeechSegment, sounds: "_Sounds", window: tuple[float, float]
    ) -> str:
        """Return the hash of what is heard of a segment in the window."""
        samples, rate = sounds.read(segment.sound)
        begin, end = sounds.unit(segment)
        first = segment.at + window[0] - self.delay_s
        last = segment.at + window[1] - self.delay_s
        cut = cut_sound(samples, rate, max(first, begin), min(last, end))
        if not len(cut) or first >= end or last <= begin:
            raise ValueError(
                f"{sounds.words(segment)}: from {first:g} to {last:g} s of it, the window less the "
                f"delay of {self.delay_s:g} s, there is nothing of the unit {begin:g} to {end:g} s"
            )
        silence = round((max(first, begin) - first) * rate)
        return content_hash(rate, silence, np.ascontiguousarray(cut, np.float32).tobytes())[:16]

    def _values(
        self,
        segments: Sequence[SpeechSegment],
        sounds: "_Sounds",
        window: tuple[float, float],
    ) -> NDArray[Any]:
        shown = [(s.sound, s.at, *sounds.unit(s)) for s in segments]
        key = content_hash(
            "speech targets 3", self.features.digest, self.rate, self.delay_s, list(window), shown
        )
        path = None if self.folder is None else self.folder / f"targets-{key}.npy"
        if path is not None and path.is_file():
            return np.load(path, mmap_mode="c", allow_pickle=False)
        order = sorted(range(len(segments)), key=lambda k: shown[k])
        values: NDArray[Any] | None = None
        temporary = None if path is None else path.with_name(f".{key}.{uuid.uuid4().hex[:12]}.tmp")
        for k in order:
            one = self._of(segments[k], sounds, window)
            if values is None:
                values = _empty((len(segments), *one.shape), temporary)
            values[k] = one
        assert values is not None
        if path is None or temporary is None:
            return values
        values.flush()  # type: ignore[attr-defined]
        temporary.replace(path)
        return np.load(path, mmap_mode="c", allow_pickle=False)

    def _of(
        self, segment: SpeechSegment, sounds: "_Sounds", window: tuple[float, float]
    ) -> NDArray[np.float32]:
        """Return features (T', F) of a segment."""
        begin, end = sounds.unit(segment)
        values, times = sounds.features(self.features, segment.sound, begin, end)
        at = self._times(segment, window)
        found, inside = features_at(values, times, at - begin), (at >= begin) & (at < end)
        if inside.any():
            # What is no part of a sound tells nothing new of it: to hold the frame at the border
            # would make that one decide the similarity of short sounds.
            found[~inside] = found[inside].mean(0)
        return found


class _Sounds:
    """Sounds by content id; the last one, and the features of its last unit, stay in memory."""

    def __init__(self, paths: dict[str, Path]) -> None:
        self.paths = paths
        self._last: tuple[str, NDArray[np.floating], int] | None = None
        self._unit: tuple[Any, tuple[NDArray[np.float32], FloatArray]] | None = None

    def read(self, sound: str) -> tuple[NDArray[np.floating], int]:
        if self._last is None or self._last[0] != sound:
            self._last = (sound, *read_wav(self.paths[sound]))
        return self._last[1], self._last[2]

    def unit(self, segment: SpeechSegment) -> tuple[float, float]:
        """Return begin and end of a segment's unit, s; both are in the sound."""
        samples, rate = self.read(segment.sound)
        lasts = len(samples) / rate
        end = lasts if segment.end is None else segment.end
        if max(segment.at, end) > lasts + SLACK_S:
            raise ValueError(
                f"{self.words(segment)} lasts {lasts:g} s, but its events speak of "
                f"{max(segment.at, end):g} s; the sound is cut off, or is not the one of the table"
            )
        return segment.begin, min(end, lasts)

    def features(
        self, compute: AudioFeatures, sound: str, begin: float, end: float
    ) -> tuple[NDArray[np.float32], FloatArray]:
        key = (sound, begin, end)
        if self._unit is None or self._unit[0] != key:
            samples, rate = self.read(sound)
            self._unit = (key, compute(cut_sound(samples, rate, begin, end), rate))
        return self._unit[1]

    def words(self, segment: SpeechSegment) -> str:
        return f"sound {self.paths[segment.sound].name} (event at {segment.at:g} s of it)"


def sound_files(patterns: Sequence[str]) -> dict[str, Path]:
    """Return WAV files by content id; of two copies the first by name.

    Raises
    ------
    FileNotFoundError
        A pattern that matches none.
    """
    import glob

    found: dict[str, Path] = {}
    for pattern in patterns:
        paths = [Path(match) for match in glob.glob(pattern, recursive=True)]
        files = [
            file
            for path in paths
            for file in (path.rglob("*.[wW][aA][vV]") if path.is_dir() else [path])
        ]
        if not files:
            raise FileNotFoundError(f"no WAV file in {pattern}; name where the sounds are")
        for path in sorted(files):
            found.setdefault(content_id(path.read_bytes()), path)
    return found


def _heard(trials: Trials, k: int) -> Heard:
    trial = trials.rows[k]
    try:
        return parse_heard(trial.stimulus)
    except ValueError as error:
        raise ValueError(
            f"the trial at {trial.onset:g} s of recording {trial.recording} has no sound: {error}"
        ) from None


def _empty(shape: tuple[int, ...], path: Path | None) -> NDArray[Any]:
    if path is None:
        return np.empty(shape, dtype=np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    made: NDArray[Any] = np.lib.format.open_memmap(path, "w+", dtype=np.float32, shape=shape)
    return made
