"""Words in their passage: other passages and the order of the batch change nothing."""

import numpy as np
import pytest
import torch
from brainfm.finetune.backbone import FeatureShape
from brainfm.finetune.retrieval import ContrastConfig
from brainfm.finetune.targets import Targets
from brainfm.finetune.trial_batch import TrialBatch
from brainfm.finetune.word_windows import PassageTransformerConfig, WordWindows, places, sinusoids

from brainfm.batches import Batch

SHAPE = FeatureShape(4, 2, 3)
CFG = PassageTransformerConfig(width=16, n_heads=4, depth=2, dropout=0.0)


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def batch_of(passage, onset) -> TrialBatch:
    n = len(passage)
    zeros = torch.zeros(n, dtype=torch.int64)
    signal = Batch(*(torch.zeros(n, 0) for _ in Batch._fields))
    return TrialBatch(
        signal,
        None,
        zeros,
        torch.arange(n),
        torch.zeros(n, 0, dtype=torch.int64),
        torch.as_tensor(passage),
        torch.as_tensor(onset, dtype=torch.float32),
        torch.arange(n),
    )


@pytest.fixture
def head() -> WordWindows:
    torch.manual_seed(0)
    head = WordWindows(CFG)
    rows = np.arange(9)
    ids = np.array([f"word {k}" for k in rows])
    values = drawn(9, 5, seed=7).numpy()
    head.build(SHAPE, Targets(ids=ids, rows=rows, values=values), training=rows)
    return head.eval()


PASSAGE, ONSET = [4, 4, 9, 4, 9, 7], [10.0, 11.0, 3.0, 12.5, 2.0, 50.0]


def test_places_are_those_of_the_onsets_in_the_passage() -> None:
    found = places(torch.tensor(PASSAGE), torch.tensor(ONSET))
    assert found.tolist() == [0, 1, 1, 2, 0, 0]


def test_sinusoids_by_hand() -> None:
    found = sinusoids(torch.tensor([0, 2]), 4)
    assert torch.allclose(found[0], torch.tensor([0.0, 0.0, 1.0, 1.0]))
    x = torch.tensor([2.0, 0.02])
    assert torch.allclose(found[1], torch.cat([x.sin(), x.cos()]))


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_other_passages_change_nothing(head, mode) -> None:
    head.train(mode == "train")  # dropout is 0; the library computes the two on different ways
    x = drawn(6, *SHAPE)
    whole = head(x, batch_of(PASSAGE, ONSET))
    for passage in (4, 9, 7):
        own = [k for k, p in enumerate(PASSAGE) if p == passage]
        batch = batch_of([PASSAGE[k] for k in own], [ONSET[k] for k in own])
        assert torch.allclose(head(x[own], batch), whole[own], atol=1e-5)


def test_without_gradients_the_outputs_are_the_same(head) -> None:
    x, batch = drawn(6, *SHAPE), batch_of(PASSAGE, ONSET)
    with torch.no_grad():
        found = head(x, batch)
    assert torch.allclose(found, head(x, batch), atol=1e-5)


def test_words_of_the_passage_and_their_order_matter(head) -> None:
    x = drawn(6, *SHAPE)
    whole = head(x, batch_of(PASSAGE, ONSET))
    other = x.clone()
    other[0] += 1
    changed = (head(other, batch_of(PASSAGE, ONSET)) - whole).abs().amax(1) > 1e-4
    assert changed.tolist() == [True, True, False, True, False, False]
    swapped = [10.0, 13.0, 3.0, 12.5, 2.0, 50.0]
    moved = (head(x, batch_of(PASSAGE, swapped)) - whole).abs().amax(1) > 1e-4
    assert moved.tolist() == [True, True, False, True, False, False]


def test_when_the_passage_was_is_of_no_matter(head) -> None:
    x = drawn(6, *SHAPE)
    later = [onset + 100 for onset in ONSET]
    assert torch.equal(head(x, batch_of(PASSAGE, ONSET)), head(x, batch_of(PASSAGE, later)))


def test_settings_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="width"):
        PassageTransformerConfig(width=10, n_heads=4)
    with pytest.raises(ValueError, match="depth"):
        PassageTransformerConfig(depth=0)
    with pytest.raises(ValueError, match="dropout"):
        PassageTransformerConfig(dropout=1.0)
    with pytest.raises(ValueError, match="pooled"):
        WordWindows(contrast=ContrastConfig(time="kept"))
    with pytest.raises(ValueError, match="hidden"):
        WordWindows(hidden=3)
