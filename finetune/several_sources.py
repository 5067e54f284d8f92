"""Recordings of several modalities as trials of one model: who saw a picture, by EEG or by fMRI."""

from dataclasses import replace
from pathlib import Path

from brainfm.corpus import Corpus
from brainfm.joined_corpus import JoinedCorpus
from brainfm.processing_config import ProcessingConfig

from .modalities import SeveralProcessing, check_modalities, modality_of
from .trial_source import Cut, Found, TrialSource


class Modalities(TrialSource):
    """A source of trials for each modality. Goes with :class:`~.several_backbones.Several`.

    A trial is of one modality, and so is every batch. What was shown has to have one name in all of
    them, as the content ids of pictures are.

    Parameters
    ----------
    sources
        By modality: eeg, meg, ieeg, fmri.
    delays
        Seconds by modality that are added to its events, so that one window (``data.trials``)
        serves all: a picture is seen in BOLD some seconds later.
    """

    one_modality_batches = True

    def __init__(
        self, sources: dict[str, TrialSource], delays: dict[str, float] | None = None
    ) -> None:
        check_modalities(sources, "data.source sources")
        self.sources, self.delays = dict(sources), dict(delays or {})
        unknown = sorted(set(self.delays) - set(self.sources))
        if unknown:
            raise ValueError(f"delays name {unknown[0]}, which has no source")

    @property
    def synthetic(self) -> bool:  # type: ignore[override]
        """Return whether any of them is."""
        return any(source.synthetic for source in self.sources.values())

    def recordings(self) -> list[Found]:
        """Refuse: each modality is prepared in its own way."""
        raise ValueError("recordings of several modalities cannot be one of several sources")

    def prepare(
        self, folder: Path | None, processing: ProcessingConfig, *, n_jobs: int = 1
    ) -> tuple[Corpus, list[Cut]]:
        """Return the recordings of all modalities, each prepared as its backbone wants it.

        Raises
        ------
        ValueError
            A backbone of one modality, modalities without a backbone or without a source, a
            recording of another modality than its source says.
        """
        if not isinstance(processing, SeveralProcessing):
            raise ValueError(
                "the source has several modalities and the backbone one; set model.backbone to "
                "brainfm.finetune.several_backbones.Several"
            )
        if set(processing.each) != set(self.sources):
            raise ValueError(
                f"data.source has {', '.join(sorted(self.sources))}, but model.backbone has "
                f"{', '.join(sorted(processing.each))}: each modality needs both"
            )
        corpora: list[Corpus] = []
        cuts: list[Cut] = []
        for name, source in sorted(self.sources.items()):
            corpus, found = source.prepare(folder, processing.each[name], n_jobs=n_jobs)
            kept = {info.id for info, _ in found}
            for info in corpus.recordings:
                if info.id in kept:
                    _check(name, info.id, list(info.types))
            corpora.append(corpus)
            delay = self.delays.get(name, 0.0)
            cuts += [
                (info, [replace(event, onset=event.onset + delay) for event in events])
                for info, events in found
            ]
        return JoinedCorpus(corpora), cuts


def _check(name: str, recording: str, types: list[str]) -> None:
    try:
        there = modality_of(types)
    except ValueError as error:
        raise ValueError(
            f"recording {recording}: {error}; keep one with 'modality' of its source"
        ) from None
    if there != name:
        raise ValueError(f"recording {recording} is {there}, but its source is that of {name}")
