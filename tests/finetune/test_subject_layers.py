"""Maps of subjects, learned and in closed form."""

import pytest
import torch
from brainfm.finetune.subject_layers import (
    SubjectLayerConfig,
    SubjectLayers,
    fit_subject_layer,
    mean_by_target,
)


def test_the_identity_at_first():
    layers, x = SubjectLayers(SubjectLayerConfig(), 3, 4), torch.randn(5, 2, 3, 4)
    subject = torch.tensor([0, 1, 2, 3, 3])
    torch.testing.assert_close(layers.eval()(x, subject), x)


def test_each_trial_goes_through_its_own_map():
    layers = SubjectLayers(SubjectLayerConfig(), 2, 2).eval()
    with torch.no_grad():
        layers.maps[1] = torch.tensor([[0.0, 2.0], [1.0, 0.0]])
    x = torch.tensor([3.0, 5.0]).expand(2, 1, 1, 2)
    found = layers(x, torch.tensor([0, 1]))
    assert found.flatten(1).tolist() == [[3.0, 5.0], [5.0, 6.0]]


def test_in_training_some_fall_to_the_map_of_the_unseen():
    layers = SubjectLayers(SubjectLayerConfig(dropout=0.25), 1, 1)
    with torch.no_grad():
        layers.maps[1] = 0
    torch.manual_seed(0)
    ones = torch.ones(4000, 1, 1, 1)
    share = layers.train()(ones, torch.ones(4000, dtype=torch.int64)).mean().item()
    assert abs(share - 0.25) < 0.03
    assert layers.eval()(ones, torch.ones(4000, dtype=torch.int64)).abs().max() == 0


def test_a_map_that_would_never_be_trained_is_refused():
    with pytest.raises(ValueError, match=r"subject_layer\.dropout must lie in \(0, 1\]"):
        SubjectLayerConfig(dropout=0.0)


def test_means_by_target():
    x = torch.tensor([1.0, 3.0, 10.0]).reshape(3, 1, 1, 1)
    mean, known = mean_by_target(x, torch.tensor([2, 2, 0]), 3)
    assert mean.flatten().tolist() == [10.0, 0.0, 2.0]
    assert known.tolist() == [True, False, True]


def planted_rotation(n_trials, width=6, n_targets=5, noise=0.1):
    """Features of a subject that are those of others, turned by a planted rotation."""
    generator = torch.Generator().manual_seed(0)
    reference = torch.randn(n_targets, 4, 3, width, generator=generator)
    rotation = torch.linalg.qr(torch.randn(width, width, generator=generator)).Q
    target = torch.arange(n_trials) % n_targets
    spread = noise * torch.randn(n_trials, 4, 3, width, generator=generator)
    return (reference[target] + spread) @ rotation, target, reference, rotation


def test_a_planted_rotation_is_undone():
    x, target, reference, rotation = planted_rotation(40)
    matrix = fit_subject_layer(x, target, reference, penalty=1e-3)
    torch.testing.assert_close(matrix, rotation.T, atol=0.05, rtol=0)
    before = (x - reference[target]).square().mean()
    assert (x @ matrix - reference[target]).square().mean() < 0.02 * before


def test_the_closed_form_is_the_least_of_its_loss():
    x, target, reference, _ = planted_rotation(7, noise=1.0)
    matrix = fit_subject_layer(x.double(), target, reference.double(), penalty=0.3)
    flat, z = x.double().reshape(-1, 6), reference.double()[target].reshape(-1, 6)
    shrink = 0.3 * (flat.T @ flat).diagonal().mean()

    def loss(m):
        return (flat @ m - z).square().sum() + shrink * (m - torch.eye(6)).square().sum()

    matrix.requires_grad_(True)
    (gradient,) = torch.autograd.grad(loss(matrix), matrix)
    assert gradient.abs().max() < 1e-9 * loss(matrix)


@pytest.mark.parametrize("n", [0, 3])
def test_nothing_known_or_a_large_penalty_leave_the_identity(n):
    x, target, reference, _ = planted_rotation(5)
    known = torch.zeros(5, dtype=torch.bool) if not n else None
    matrix = fit_subject_layer(x[:n], target[:n], reference, known, penalty=1e6)
    torch.testing.assert_close(matrix, torch.eye(6), atol=1e-4, rtol=0)


def test_targets_without_reference_are_left_out():
    x, target, reference, _ = planted_rotation(40)
    spoiled = reference.clone()
    spoiled[2] = 1e6
    known = torch.tensor([True, True, False, True, True])
    found = fit_subject_layer(x, target, spoiled, known)
    kept = target != 2
    expected = fit_subject_layer(x[kept], target[kept], reference)
    torch.testing.assert_close(found, expected)


def test_a_new_subject_gets_a_slot():
    layers = SubjectLayers(SubjectLayerConfig(), 2, 3).eval()
    slot = layers.add(2 * torch.eye(3))
    assert slot == 3
    x = torch.ones(1, 1, 1, 3)
    assert layers(x, torch.tensor([slot])).flatten().tolist() == [2.0, 2.0, 2.0]
