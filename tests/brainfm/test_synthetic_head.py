"""Synthetic heads: geometry that brainfm accepts, and the physics of MNE."""

import mne
import numpy as np
import pytest

from brainfm.geometry import geometry_problem
from brainfm.recordings import recording_from_raw
from brainfm.simulation_config import SimulationConfig
from brainfm.synthetic_head import SyntheticHead, electrode_names, fit_sphere, make_head


def head_of(seed: int = 0, channels: tuple[str, ...] = (), **values: object) -> SyntheticHead:
    cfg = SimulationConfig(**values)  # type: ignore[arg-type]
    return make_head(cfg, channels, generator=np.random.default_rng(seed))


def free_field(head: SyntheticHead, position: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """What MNE's forward solution of a source space gives for one dipole."""
    space = {"rr": position[None], "nn": np.array([[0.0, 0.0, 1.0]])}
    with mne.use_log_level("ERROR"):
        sphere = mne.make_sphere_model(r0=head.centre, head_radius=head.radius)
        source = mne.setup_volume_source_space(pos=space)
        forward = mne.make_forward_solution(head.info, None, source, sphere, mindist=0.0)
    return np.asarray(forward["sol"]["data"] @ direction)


def test_the_topography_of_a_dipole_is_that_of_mnes_forward_solution() -> None:
    head = head_of(montage="biosemi16", meg="neuromag")
    rng = np.random.default_rng(1)
    for _ in range(2):
        position = head.places(rng.standard_normal((1, 3)), 0.6)[0]
        direction = rng.standard_normal(3)
        direction /= np.linalg.norm(direction)
        ours = head.lead_field(position[None], direction[None])[:, 0]
        theirs = free_field(head, position, direction)
        assert len(ours) == 16 + 306
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7 * np.abs(theirs).min())


def test_a_radial_dipole_is_silent_in_meg_and_loud_in_eeg() -> None:
    head = head_of(montage="biosemi16", meg="neuromag")
    up = np.array([[0.0, 0.0, 1.0]])
    side = np.array([[1.0, 0.0, 0.0]])
    place = head.places(up, 0.7)
    radial, tangential = head.lead_field(place, up)[:, 0], head.lead_field(place, side)[:, 0]
    mag, eeg = (np.array([k == kind for k in head.kinds]) for kind in ("mag", "eeg"))
    assert np.abs(radial[mag]).max() < 1e-3 * np.abs(tangential[mag]).max()
    assert np.abs(radial[eeg]).max() > 0.5 * np.abs(tangential[eeg]).max()


@pytest.mark.parametrize("montage", ["standard_1005", "biosemi64", "GSN-HydroCel-32", "easycap-M1"])
def test_montages_become_sensors_that_our_reader_accepts(montage: str) -> None:
    head = head_of(montage=montage)
    noise = 1e-5 * np.random.default_rng(0).standard_normal((len(head.kinds), 1024))
    recording = recording_from_raw(mne.io.RawArray(noise, head.info, verbose="ERROR"))
    assert geometry_problem(recording.sensors) is None
    assert len(recording.sensors) == len(electrode_names(montage))
    radii = np.linalg.norm(recording.sensors.positions - head.centre, axis=1)
    assert np.median(radii) == pytest.approx(head.radius, rel=0.1)


def test_no_place_has_two_electrodes() -> None:
    names = electrode_names("standard_1020")
    assert not {"T3", "T7"} <= set(names)
    assert {"Fz", "Cz", "Oz"} <= set(names)


def test_heads_differ_in_size_gains_and_place_in_the_helmet() -> None:
    one, two = (head_of(seed, montage="none", meg="neuromag") for seed in (0, 1))
    assert set(one.kinds) == {"mag", "grad"}
    assert one.radius != two.radius
    assert 0.07 < one.radius < 0.11
    assert not np.allclose(one.gains, two.gains)
    moves = [head.info["dev_head_t"]["trans"][:3, 3] for head in (one, two)]
    assert 1e-4 < np.linalg.norm(moves[0] - moves[1]) < 0.03


def test_unknown_montages_and_electrodes_are_named_with_what_there_is() -> None:
    with pytest.raises(ValueError, match=r"near: .*biosemi64"):
        electrode_names("biosemi65")
    with pytest.raises(ValueError, match="no electrodes named Qz"):
        electrode_names("biosemi16", ("Fz", "Qz"))
    assert electrode_names("biosemi16", ("fz", "CZ", "Fz")) == ("Fz", "Cz")


def test_a_sphere_is_found_from_points_on_a_part_of_it() -> None:
    points = np.random.default_rng(0).standard_normal((20, 3))
    points[:, 2] = np.abs(points[:, 2])
    points *= 0.09 / np.linalg.norm(points, axis=1, keepdims=True)
    centre, radius = fit_sphere(points + np.array([0.01, 0.0, 0.04]))
    np.testing.assert_allclose(centre, [0.01, 0.0, 0.04], atol=1e-9)
    assert radius == pytest.approx(0.09)
