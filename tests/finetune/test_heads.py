"""What every head keeps: shapes, gradients, the order of trials, mixed precision."""

import inspect

import brainfm.finetune.head
import numpy as np
import pytest
import torch
from brainfm.finetune.backbone import FeatureShape
from brainfm.finetune.classification import Classification, CrossEntropyConfig
from brainfm.finetune.ctc import CTC, CTCConfig
from brainfm.finetune.head import Head
from brainfm.finetune.pooling import PoolingConfig
from brainfm.finetune.regression import Regression, RegressionConfig
from brainfm.finetune.retrieval import ContrastConfig, Retrieval
from brainfm.finetune.targets import Targets
from brainfm.finetune.trial_batch import TrialBatch
from brainfm.finetune.word_windows import PassageTransformerConfig, WordWindows

from brainfm.batches import Batch

SHAPE = FeatureShape(6, 3, 5)
N_TRIALS = 12
WORDS = PassageTransformerConfig(width=16, n_heads=2, depth=1, dropout=0.0)


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def targets_of(values=None, *, n=5, lengths=None, alphabet=(), rivals=False) -> Targets:
    """Targets of twelve trials that show n things, some of them several times."""
    rows = np.arange(N_TRIALS, dtype=np.int64) % n
    return Targets(
        ids=np.array([f"thing {k}" for k in range(n)]),
        rows=rows,
        values=values,
        lengths=lengths,
        rivals=((rows + 1) % n)[:, None] if rivals else None,
        alphabet=alphabet,
    )


def batch_of(targets: Targets, index=range(N_TRIALS)) -> TrialBatch:
    """Trials of two passages, as a batch with features."""
    index = torch.as_tensor(list(index), dtype=torch.int64)
    n = len(index)
    signal = Batch(*(torch.zeros(n, 0) for _ in Batch._fields))
    rivals = torch.zeros(N_TRIALS, 0, dtype=torch.int64)
    if targets.rivals is not None:
        rivals = torch.as_tensor(targets.rivals)
    return TrialBatch(
        signal=signal,
        features=drawn(N_TRIALS, *SHAPE)[index],
        subject=torch.zeros(n, dtype=torch.int64),
        target=torch.as_tensor(targets.rows)[index],
        rivals=rivals[index],
        passage=index % 2,
        onset=index.float(),
        trial=index,
    )


FLAT = drawn(5, 7).numpy()
IN_TIME = drawn(5, 4, 7).numpy()
TEXTS = np.array([[1, 2, 0], [2, 2, 1], [1, 0, 0], [3, 1, 2], [2, 3, 0]])


def loudness() -> Head:
    """Make the head that the docstring of the module shows."""
    text = inspect.getdoc(brainfm.finetune.head) or ""
    code = text.split(".. code-block:: python")[1].split("\n\nShapes")[0]
    names: dict[str, object] = {"Head": Head}
    exec(inspect.cleandoc(code), names)
    return names["Loudness"]()  # type: ignore[operator]


HEADS = {
    "example": (loudness, targets_of(drawn(5, 1).numpy())),
    "classes": (Classification, targets_of()),
    "equal classes": (
        lambda: Classification(CrossEntropyConfig(weights="equal", label_smoothing=0.1), hidden=8),
        targets_of(),
    ),
    "clip_one_sided": (Retrieval, targets_of(FLAT)),
    **{
        loss: (lambda loss=loss: Retrieval(ContrastConfig(loss=loss)), targets_of(IN_TIME))
        for loss in ("clip", "siglip", "dsiglip")
    },
    "time kept": (lambda: Retrieval(ContrastConfig(time="kept", mse=0.5)), targets_of(IN_TIME)),
    "time flat": (lambda: Retrieval(ContrastConfig(time="flat")), targets_of(IN_TIME)),
    "projected": (lambda: Retrieval(ContrastConfig(target_width=3)), targets_of(FLAT)),
    "attended": (
        lambda: Retrieval(ContrastConfig(negatives="rivals")),
        targets_of(FLAT, rivals=True),
    ),
    "attended and batch": (
        lambda: Retrieval(ContrastConfig(negatives="both", loss="siglip")),
        targets_of(FLAT, rivals=True),
    ),
    "words": (lambda: WordWindows(WORDS), targets_of(FLAT)),
    "values": (Regression, targets_of(drawn(5, 2).numpy())),
    "correlation": (
        lambda: Regression(RegressionConfig(loss="correlation"), PoolingConfig(kind="covariance")),
        targets_of(drawn(5).numpy()),
    ),
    "texts": (
        lambda: CTC(CTCConfig(upsampling=2)),
        targets_of(TEXTS, lengths=np.array([2, 3, 1, 3, 2]), alphabet=("a", "b", "c")),
    ),
}
NO_RIDGE = {"example", "time kept", "projected", "texts"}


def built(name, *, linear=False) -> tuple[Head, Targets]:
    torch.manual_seed(0)
    make, targets = HEADS[name]
    head = make()
    head.build(SHAPE, targets, linear=linear, training=targets.rows)
    return head.eval(), targets


@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize("name", HEADS)
def test_shapes(name, linear) -> None:
    head, targets = built(name, linear=linear)
    batch = batch_of(targets)
    output = head(batch.features, batch)
    loss, predicted = head.loss(output, batch), head.predict(output, batch)
    assert len(output) == len(predicted) == N_TRIALS
    assert loss.shape == ()
    assert loss.dtype == predicted.dtype == torch.float32
    assert torch.isfinite(loss)
    if head.kind == "classes":
        assert predicted.shape == (N_TRIALS, 5)
        assert torch.allclose(predicted.sum(1), torch.ones(N_TRIALS))
    if head.kind == "retrieval":
        assert head.gallery(torch.tensor([4, 0])).shape == (2, predicted.shape[1])
    if head.kind == "values":
        assert predicted.shape == (N_TRIALS, head.values[0].numel())
    if head.kind == "text":
        assert len(head.texts(predicted)) == N_TRIALS


@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize("name", HEADS)
def test_the_gradient_reaches_every_weight_and_the_features(name, linear) -> None:
    head, targets = built(name, linear=linear)
    batch = batch_of(targets)
    features = batch.features.clone().requires_grad_()
    head.loss(head(features, batch), batch).backward()
    without = [n for n, p in head.named_parameters() if p.grad is None or not p.grad.any()]
    # The sum of all scores is free: a constant that all keys share changes no attention.
    assert [n for n in without if "in_proj_bias" not in n] == []
    assert features.grad.flatten(1).any(1).all()


@pytest.mark.parametrize("name", HEADS)
def test_the_order_of_trials_is_of_no_matter(name) -> None:
    head, targets = built(name)
    order = torch.randperm(N_TRIALS, generator=torch.Generator().manual_seed(3)).tolist()
    batch, turned = batch_of(targets), batch_of(targets, order)
    output, other = head(batch.features, batch), head(turned.features, turned)
    assert torch.allclose(output[order], other, atol=1e-5)
    assert torch.allclose(head.loss(output, batch), head.loss(other, turned), atol=1e-5)


@pytest.mark.parametrize("name", HEADS)
def test_one_trial_is_a_batch(name) -> None:
    head, targets = built(name)
    batch = batch_of(targets, [3])
    loss = head.loss(head(batch.features, batch), batch)
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(p.grad).all() for p in head.parameters() if p.grad is not None)


@pytest.mark.parametrize("name", [name for name in HEADS if name != "example"])
def test_no_trial_has_loss_zero_and_a_gradient(name) -> None:
    head, targets = built(name)
    batch = batch_of(targets, [])
    features = batch.features.clone().requires_grad_()
    loss = head.loss(head(features, batch), batch)
    loss.backward()
    assert loss.item() == 0


@pytest.mark.parametrize("name", HEADS)
def test_a_batch_that_lacks_things_is_one_too(name) -> None:
    head, targets = built(name)
    batch = batch_of(targets, [0, 1, 5, 6])  # things 0 and 1, each twice
    assert torch.isfinite(head.loss(head(batch.features, batch), batch))


@pytest.mark.parametrize("name", HEADS)
def test_mixed_precision_is_near_full_precision(name) -> None:
    head, targets = built(name)
    batch = batch_of(targets)
    full = head.loss(head(batch.features, batch), batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = head(batch.features, batch)
        mixed = head.loss(output, batch)
        predicted = head.predict(output, batch)
    if name != "example":  # ten lines promise nothing
        assert mixed.dtype == predicted.dtype == torch.float32
    assert torch.allclose(full, mixed.float(), rtol=0.05, atol=0.05)


@pytest.mark.parametrize("name", HEADS)
def test_a_closed_form_readout_is_possible_or_refused_in_words(name) -> None:
    head, targets = built(name, linear=True)
    if name in NO_RIDGE:
        with pytest.raises(ValueError, match="ridge"):
            head.ridge_targets()
        return
    wanted = head.ridge_targets()
    batch = batch_of(targets)
    assert wanted.shape == (5, head(batch.features, batch).shape[1])
    # A readout that gives exactly this decodes every trial.
    predicted = head.predict(wanted[batch.target], batch)
    if head.kind == "classes":
        assert (predicted.argmax(1) == batch.target).all()
    elif head.kind == "values":
        assert torch.allclose(predicted, head.values[batch.target].reshape(N_TRIALS, -1), atol=1e-5)
    else:
        gallery = head.gallery(torch.arange(5))
        near = torch.nn.functional.cosine_similarity(predicted[:, None], gallery, dim=-1)
        assert (near.argmax(1) == batch.target).all()


@pytest.mark.parametrize("name", HEADS)
def test_linear_is_one_linear_map_of_the_pooled_features(name) -> None:
    head, _ = built(name, linear=True)
    layers = [m for m in head.readout.modules() if not list(m.children())]
    assert [type(m).__name__ for m in layers] == ["Dropout", "Linear"]
    assert layers[0].p == 0


@pytest.mark.parametrize("name", HEADS)
def test_weights_and_statistics_come_back(name) -> None:
    head, targets = built(name)
    other = HEADS[name][0]()
    other.build(SHAPE, targets, training=targets.rows[:3])
    other.load_state_dict(head.state_dict())
    batch = batch_of(targets)
    output = head(batch.features, batch)
    assert torch.equal(other.eval()(batch.features, batch), output)
    assert torch.equal(other.predict(output, batch), head.predict(output, batch))
    assert torch.equal(other.loss(output, batch), head.loss(output, batch))
    assert "values" not in head.state_dict()


@pytest.mark.parametrize("name", ["classes", "clip_one_sided", "values", "words"])
def test_statistics_without_training_trials_are_refused(name) -> None:
    make, targets = HEADS[name]
    with pytest.raises(ValueError, match="training"):
        make().build(SHAPE, targets)


@pytest.mark.parametrize("settings", [{"hidden": -1}, {"dropout": 1.0}])
def test_settings_that_cannot_be(settings) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        Classification(**settings)


def test_the_example_has_at_most_ten_lines() -> None:
    text = inspect.getdoc(brainfm.finetune.head) or ""
    code = text.split(".. code-block:: python")[1].split("\n\nShapes")[0]
    assert sum(bool(line.strip()) for line in code.splitlines()) <= 10
