"""Features of trials in scikit-learn: contracts, pipelines, and what they must not depend on."""

from pathlib import Path

import joblib
import mne
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks

from brainfm import BrainFeatures
from brainfm.checkpoints import save_checkpoint
from brainfm.encoder import Encoder
from brainfm.frame_pooling import pool_frames
from brainfm.montage import sensors_by_name

NAMES = ["Fz", "Cz", "Pz", "Oz", "C3", "C4"]
SFREQ = 128.0


@pytest.fixture(scope="module")
def checkpoint(tiny_model, tmp_path_factory):
    return save_checkpoint(tiny_model(), tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def trials(brain_noise):
    """Twelve synthetic trials of 2 s; every second one has a 10-Hz rhythm at the back."""
    x = np.stack([brain_noise(len(NAMES), 2.0, sfreq=SFREQ, seed=k) for k in range(12)])
    y = np.arange(12) % 2
    t = np.arange(x.shape[2]) / SFREQ
    x[y == 1, 2:4] += 6e-5 * np.sin(2 * np.pi * 10 * t)
    return x, y


@pytest.fixture(scope="module")
def features(checkpoint):
    return BrainFeatures(str(checkpoint), sfreq=SFREQ, ch_names=NAMES)


@pytest.fixture(scope="module")
def expected(checkpoint, trials):
    encoder = Encoder.from_pretrained(checkpoint)
    sensors = sensors_by_name(NAMES)
    found = [encoder.encode((trial, SFREQ, sensors)).values for trial in trials[0]]
    return np.stack([pool_frames(values, "moments") for values in found])


def as_epochs(x, y):
    info = mne.create_info(NAMES, SFREQ, "eeg")
    info.set_montage("colin27_1005")
    events = np.column_stack([np.arange(len(x)) * 1000, np.zeros(len(x), int), y + 1])
    return mne.EpochsArray(x, info, events, event_id={"rest": 1, "rhythm": 2}, verbose="error")


def test_they_are_those_of_encode(features, trials, expected):
    found = clone(features).fit_transform(*trials)
    # Mean and deviation of 3 sources of width 24.
    assert found.shape == (12, 2 * 3 * 24)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_arrays_epochs_lists_units_and_info_agree(checkpoint, features, trials, expected):
    x, y = trials
    epochs = as_epochs(x, y)
    micro = BrainFeatures(checkpoint, sfreq=SFREQ, ch_names=NAMES, unit="uV")
    by_sensors = BrainFeatures(checkpoint, sfreq=SFREQ, sensors=sensors_by_name(NAMES))
    by_info = BrainFeatures(checkpoint, info=epochs.info)
    alone = BrainFeatures(Encoder.from_pretrained(checkpoint))
    for estimator, data in (
        (micro, 1e6 * x),
        (by_sensors, x),
        (by_info, x),
        (alone, epochs),
        (alone, [epochs[i] for i in range(len(epochs))]),
        (features, list(x)),
    ):
        np.testing.assert_allclose(estimator.fit_transform(data, y), expected, atol=1e-4)


def test_a_trial_knows_no_other(features, trials):
    x = trials[0]
    fitted = clone(features).fit(x[:1])
    np.testing.assert_allclose(fitted.transform(x[3:5]), fitted.transform(x)[3:5], atol=1e-5)
    order = np.random.default_rng(0).permutation(len(NAMES))
    shuffled = clone(features).set_params(ch_names=[NAMES[i] for i in order])
    np.testing.assert_allclose(
        shuffled.fit_transform(x[:2][:, order]), fitted.transform(x[:2]), atol=1e-5
    )


@pytest.mark.parametrize("n_jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_pipelines_cross_validation_and_workers(checkpoint, features, expected, trials, n_jobs):
    x, y = trials
    decoder = make_pipeline(StandardScaler(), LogisticRegression())
    how = {"cv": 3, "error_score": "raise", "scoring": "neg_log_loss"}
    by_hand = cross_val_score(decoder, expected, y, **how)
    pipeline = make_pipeline(clone(features), *clone(decoder))
    scores = cross_val_score(pipeline, x, y, n_jobs=n_jobs, **how)
    np.testing.assert_allclose(scores, by_hand, atol=1e-3)
    if n_jobs == 1:
        own = make_pipeline(BrainFeatures(checkpoint), *clone(decoder))
        from_epochs = cross_val_score(own, as_epochs(x, y), y, **how)
        np.testing.assert_allclose(from_epochs, by_hand, atol=1e-3)


def test_settings_can_be_searched(features, trials):
    pipeline = make_pipeline(clone(features), LogisticRegression())
    grid = {"brainfeatures__layer": [0, -1], "brainfeatures__pooling": ["mean", "power"]}
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(*trials)
    assert len(search.cv_results_["params"]) == 4


def test_clone_and_joblib_keep_everything(checkpoint, features, trials, tmp_path):
    fitted = clone(features).fit(*trials)
    joblib.dump(fitted, tmp_path / "features.joblib")
    # The model stays where it is: the file holds its name.
    assert (tmp_path / "features.joblib").stat().st_size < 5_000
    again = joblib.load(tmp_path / "features.joblib")
    assert again.get_params() == fitted.get_params()
    x = trials[0][:2]
    assert np.array_equal(again.transform(x), fitted.transform(x))
    live = BrainFeatures(Encoder.from_pretrained(checkpoint), sfreq=SFREQ, ch_names=NAMES)
    copied = clone(live).fit(*trials)
    joblib.dump(copied, tmp_path / "live.joblib")
    assert np.array_equal(joblib.load(tmp_path / "live.joblib").transform(x), fitted.transform(x))


def test_names_and_pandas(features, trials):
    fitted = clone(features).set_params(pooling="all").set_output(transform="pandas")
    frame = fitted.fit_transform(trials[0][:2])
    assert frame.shape == (2, 24)
    assert frame.columns[3] == "brainfeatures3"


@pytest.mark.parametrize(
    "check",
    [
        estimator_checks.check_estimator_cloneable,
        estimator_checks.check_estimator_repr,
        estimator_checks.check_get_params_invariance,
        estimator_checks.check_no_attributes_set_in_init,
        estimator_checks.check_set_params,
        estimator_checks.check_valid_tag_types,
        estimator_checks.check_estimator_tags_renamed,
        estimator_checks.check_do_not_raise_errors_in_init_or_set_params,
    ],
)
def test_scikit_learns_own_checks(checkpoint, check):
    """Those of estimators that do not take tables; the others feed (n, features) tables."""
    check("BrainFeatures", BrainFeatures(str(checkpoint)))


def test_a_new_checkpoint_under_the_old_name_is_loaded(tiny_model, trials, tmp_path):
    x = trials[0][:1]
    found = []
    for seed in (0, 1):
        save_checkpoint(tiny_model(seed=seed), tmp_path)
        found.append(BrainFeatures(tmp_path, sfreq=SFREQ, ch_names=NAMES).fit_transform(x))
    assert not np.allclose(*found)


@pytest.mark.parametrize(
    ("changes", "data", "message"),
    [
        ({"sfreq": None}, None, "sfreq must be given"),
        ({"ch_names": None}, None, "one of ch_names, sensors and info"),
        ({"ch_names": NAMES[:3]}, None, "6 channels, there are 3 sensors"),
        ({"pooling": "median"}, None, "pooling must be one of"),
        ({"layer": 17}, None, "layer must lie in"),
        ({}, np.zeros((3, 6)), "trials x channels x samples"),
        ({}, [], "no trials"),
        ({"info": mne.create_info(6, 128.0, "eeg")}, None, "sfreq must be left out"),
        ({"unit": "uV"}, None, "amplitude|uV|small"),
    ],
)
def test_one_line_says_what_is_wrong(features, trials, changes, data, message):
    with pytest.raises(ValueError, match=message):
        clone(features).set_params(**changes).fit(trials[0] if data is None else data)


def test_transform_after_fit_only_and_with_the_same_channels(features, trials):
    with pytest.raises(NotFittedError):
        clone(features).transform(trials[0])
    with pytest.raises(ValueError, match="5 channels, those of fit had 6"):
        clone(features).fit(trials[0]).transform(trials[0][:, :5])
    flat = clone(features).set_params(pooling="flat").fit(trials[0])
    with pytest.raises(ValueError, match="one length"):
        flat.transform(trials[0][:, :, :160])


def test_a_trial_without_signal_is_named(features, trials):
    x = trials[0].copy()
    x[4] = 0
    with pytest.raises(ValueError, match=r"^trial 4: (?!trial)"):
        clone(features).fit(x).transform(x)
    info = mne.create_info(NAMES, SFREQ, "eeg")
    raws = [mne.io.RawArray(trial, info, verbose="error") for trial in x]
    with pytest.raises(ValueError, match=r"^trial 4: "):
        clone(features).fit(raws).transform(raws)


@pytest.mark.parametrize("given", [None, "recording.fif"])
def test_what_are_no_trials_is_said(features, given):
    with pytest.raises(ValueError, match=r"^X must be trials: .* got (NoneType|str)$"):
        clone(features).fit(given)


@pytest.mark.slow
@pytest.mark.shared
def test_a_moabb_like_evaluation_leaves_subjects_out(checkpoint, shared_data: Path):
    """As MOABB's cross-subject evaluation runs a pipeline: arrays in microvolts, groups of people.

    The files hold millivolts where they say volts. The model is untrained, so that only the run is
    tested, not what it finds.
    """
    x, y, groups = [], [], []
    for subject in ("01", "02", "03"):
        path = sorted((shared_data / "ssvep" / f"subject{subject}").glob("*_raw.fif"))[0]
        raw = mne.io.read_raw_fif(path, preload=True, verbose="error").pick("eeg")
        events = mne.read_events(str(path).replace("_raw.fif", "-eve.fif"), verbose="error")
        epochs = mne.Epochs(
            raw, events, tmin=2, tmax=6, baseline=None, preload=True, verbose="error"
        )
        x.append(1e3 * epochs.get_data(copy=False))
        y.append(epochs.events[:, 2])
        groups.append(np.full(len(epochs), subject))
    assert len({part.shape[1] for part in x}) == 1
    names = list(epochs.ch_names)
    features = BrainFeatures(
        str(checkpoint), sfreq=256.0, ch_names=names, unit="uV", pooling="power"
    )
    pipeline = make_pipeline(features, StandardScaler(), LogisticRegression(C=0.01))
    scores = cross_val_score(
        pipeline,
        np.concatenate(x),
        np.concatenate(y),
        groups=np.concatenate(groups),
        cv=GroupKFold(3),
        scoring="balanced_accuracy",
        error_score="raise",
    )
    assert scores.shape == (3,)
    assert np.all((scores >= 0) & (scores <= 1))
