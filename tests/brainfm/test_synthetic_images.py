"""Pictures as drives of synthetic brains."""

from pathlib import Path

import numpy as np
import pytest

from brainfm.simulation_config import SimulationConfig
from brainfm.synthetic_images import Pictures, picture_drive, present_pictures, read_pictures


def pictures_of(path: Path, features: np.ndarray, **values: object) -> Pictures:
    np.save(path, features)
    cfg = SimulationConfig(**values)  # type: ignore[arg-type]
    return read_pictures(path, cfg, generator=np.random.default_rng(0))


def test_weights_are_standardised_mixtures_beside_a_constant(tmp_path: Path) -> None:
    features = np.random.default_rng(1).standard_normal((30, 5))
    features[7] = features[3]
    pictures = pictures_of(tmp_path / "f.npy", features, image_components=3)
    assert pictures.weights.shape == (30, 4)
    assert (pictures.weights[:, 0] == 1).all()
    np.testing.assert_allclose(pictures.weights[:, 1:].mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(pictures.weights[:, 1:].std(axis=0), 1)
    design = np.column_stack([features, np.ones(30)])
    fitted = design @ np.linalg.lstsq(design, pictures.weights, rcond=None)[0]
    np.testing.assert_allclose(fitted, pictures.weights, atol=1e-9)
    assert pictures.content_ids[7] == pictures.content_ids[3]
    assert len(set(pictures.content_ids)) == 29


def test_every_picture_is_shown_before_one_comes_again(tmp_path: Path) -> None:
    pictures = pictures_of(tmp_path / "f.npy", np.eye(5))
    cfg = SimulationConfig(duration=12.0, soa=0.8)
    shown = present_pictures(pictures, cfg, generator=np.random.default_rng(0))
    assert sorted(p.stimulus for p in shown[:5]) == list(range(5))
    assert sorted(p.stimulus for p in shown[5:10]) == list(range(5))
    steps = np.diff([p.onset for p in shown])
    assert steps.min() > 0.79
    assert steps.max() < 0.89
    assert shown[-1].onset <= 11.0
    drive = picture_drive(pictures, shown, cfg)
    np.testing.assert_allclose(drive.sum(axis=1) / cfg.sfreq, sum(
        pictures.weights[p.stimulus] for p in shown
    ))  # fmt: skip


@pytest.mark.parametrize(
    ("features", "words"),
    [
        (np.zeros(4), "one table"),
        (np.array([["a", "b"]]), "one table"),
        (np.zeros((0, 3)), "at least two pictures"),
        (np.ones((4, 3)), "different features"),
        (np.array([[1.0], [np.nan]]), "not finite"),
    ],
)
def test_features_that_say_nothing_are_refused(
    tmp_path: Path, features: np.ndarray, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        pictures_of(tmp_path / "f.npy", features)


def test_missing_and_pickled_files_are_refused(tmp_path: Path) -> None:
    cfg, rng = SimulationConfig(), np.random.default_rng(0)
    with pytest.raises(FileNotFoundError, match=r"gone\.npy"):
        read_pictures(tmp_path / "gone.npy", cfg, generator=rng)
    np.save(tmp_path / "o.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"o\.npy: cannot be read"):
        read_pictures(tmp_path / "o.npy", cfg, generator=rng)
