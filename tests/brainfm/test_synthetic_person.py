"""Synthetic people: who differs in what, and responses with a known delay."""

import numpy as np
import pytest

from brainfm.simulation_config import SimulationConfig
from brainfm.synthetic_person import Component, SyntheticPerson, make_person, response_kernel

COMPONENTS = (
    Component(name="speech-0", region="auditory"),
    Component(name="image-0", region="visual"),
    Component(name="rhythm-0", region="rhythm"),
)


def person_of(seed: int, **values: object) -> SyntheticPerson:
    settings = {"montage": "biosemi16", "bold_rois": 1, **values}
    cfg = SimulationConfig(**settings)  # type: ignore[arg-type]
    return make_person(cfg, COMPONENTS, generator=np.random.default_rng(seed))


def test_people_differ_in_head_dipoles_gains_latencies_and_coupling() -> None:
    one, two, again = person_of(0), person_of(1), person_of(0)
    for name in ("positions", "orientations", "lead_field", "latencies", "bold_lags"):
        assert not np.allclose(getattr(one, name), getattr(two, name)), name
        np.testing.assert_array_equal(getattr(one, name), getattr(again, name))
    assert one.head.radius != two.head.radius
    assert np.std(np.log(one.head.gains)) == pytest.approx(0.05, rel=0.6)


def test_dipoles_lie_in_the_brain_where_their_region_is_and_along_the_sphere() -> None:
    for seed in range(5):
        person = person_of(seed)
        outward = person.positions - person.head.centre
        depth = np.linalg.norm(outward, axis=1) / person.head.radius
        assert (depth > 0.6).all()
        assert (depth < 0.85).all()
        np.testing.assert_allclose(np.linalg.norm(person.orientations, axis=1), 1)
        np.testing.assert_allclose((person.orientations * outward).sum(axis=1), 0, atol=1e-12)
        left, right = outward[person.component == 0]
        assert left[0] < -0.03
        assert right[0] > 0.03
        assert (outward[person.component == 1][:, 1] < -0.03).all()


def test_the_lead_field_is_the_sum_over_a_components_dipoles_with_gains() -> None:
    person = person_of(3)
    field = person.head.lead_field(person.positions, person.orientations)
    both = person.head.gains * field[:, person.component == 0].sum(axis=1)
    np.testing.assert_allclose(person.lead_field[:, 0], both, rtol=1e-6)


def test_meg_and_eeg_see_the_same_dipoles() -> None:
    alone, together = person_of(0), person_of(0, meg="neuromag")
    np.testing.assert_allclose(alone.positions, together.positions)
    np.testing.assert_allclose(alone.orientations, together.orientations)
    eeg = np.array([kind == "eeg" for kind in together.head.kinds])
    ours = alone.lead_field / alone.head.gains[:, None]
    theirs = (together.lead_field / together.head.gains[:, None])[eeg]
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    assert np.abs(together.lead_field[~eeg]).max(axis=0).min() > 0


def test_the_response_is_causal_and_its_largest_peak_stands_at_the_latency() -> None:
    kernel = response_kernel(0.12, 500.0)
    assert kernel[0] == 0
    assert np.argmax(np.abs(kernel)) / 500 == pytest.approx(0.12, abs=0.003)
    assert kernel.min() == pytest.approx(-1.0)
    assert np.abs(kernel[-1]) < 1e-3
    assert np.abs(kernel[:10]).max() < 0.1
