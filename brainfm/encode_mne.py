"""Features as a FIF file of MNE: Raw of a recording, Epochs of epochs.

A FIF file counts time in whole samples, which are frames here: the centre of a frame may lie up to
half a frame from where MNE says it is. HDF5 keeps the times as they are.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from brainfm.atomic import flush_to_disk
from brainfm.channels import ReadOptions
from brainfm.encoder import Encoder, Features, Layer
from brainfm.feature_objects import features_as_epochs, features_as_raw
from brainfm.formats import open_epochs
from brainfm.given_recordings import recordings_of

MAX_BYTES = 1_900_000_000
"""Of a FIF file in one piece."""


def write_mne_features(
    encoder: Encoder,
    source: Path,
    out: Path,
    options: ReadOptions | None = None,
    *,
    layer: Layer = -2,
    pooled: bool = False,
) -> str:
    """Encode a file and write its features as MNE's Raw, or Epochs with their events.

    Parameters
    ----------
    encoder
        The model.
    source
        A recording, or a file of epochs.
    out
        A name that ends in ``.fif``; written as a whole or not at all.
    options
        How the file is read.
    layer
        As for :meth:`Encoder.encode`.
    pooled
        The mean over sources.

    Returns
    -------
    str
        What was written, in words.

    Raises
    ------
    ValueError
        More than a FIF file takes; frames that overlap.
    """
    recordings, are_epochs = recordings_of(source, options)
    found = []
    for recording in recordings:
        features = encoder.encode(recording, layer=layer)
        assert isinstance(features, Features), "one recording has one time course of features"
        if pooled:
            features = features._replace(values=features.values.mean(axis=1, keepdims=True))
        found.append(features)
    n_bytes = 4 * sum(features.values.size for features in found)
    if n_bytes > MAX_BYTES:
        raise ValueError(
            f"{n_bytes / 1e9:.1f} GB of features do not fit a FIF file; write HDF5 (--format "
            "hdf5), or the mean over sources (--pool sources)"
        )
    made = features_as_epochs(found, open_epochs(source)) if are_epochs else features_as_raw(*found)
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".brainfm-", dir=out.parent) as folder:
        # MNE looks at the ending of a name, so that a temporary name must have it too.
        temporary = Path(folder) / out.name
        made.save(temporary, overwrite=True, verbose="error")
        flush_to_disk(temporary)
        temporary.replace(out)
    flush_to_disk(out.parent)
    kind = f"Epochs ({len(found)})" if are_epochs else "Raw"
    return f"{kind} of {len(made.ch_names)} channels at {made.info['sfreq']:.4g} Hz in {out}"
