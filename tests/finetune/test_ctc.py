"""Texts without times: loss against every path, room for the symbols, what is learned."""

import itertools
import math

import numpy as np
import pytest
import torch
from brainfm.finetune.backbone import FeatureShape
from brainfm.finetune.ctc import CTC, CTCConfig
from brainfm.finetune.ctc_decoding import TextDecodingConfig, collapse
from brainfm.finetune.targets import Targets
from brainfm.finetune.trial_batch import TrialBatch

from brainfm.batches import Batch

SHAPE = FeatureShape(4, 2, 3)
TEXTS = Targets(
    ids=np.array(["ab", "b", "aab"]),
    rows=np.array([0, 1, 2, 0]),
    values=np.array([[1, 2, 0], [2, 0, 0], [1, 1, 2]]),
    lengths=np.array([2, 1, 3]),
    alphabet=("a", "b"),
)


def batch_of(target) -> TrialBatch:
    target = torch.as_tensor(target)
    zeros = torch.zeros(len(target), dtype=torch.int64)
    signal = Batch(*(zeros[:, None] for _ in Batch._fields))
    return TrialBatch(signal, None, zeros, target, zeros[:, None], zeros, zeros.float(), zeros)


def built(shape=SHAPE, targets=TEXTS, decoding=None, **settings) -> CTC:
    torch.manual_seed(0)
    head = CTC(CTCConfig(**settings), decoding)
    head.build(shape, targets, training=targets.rows[:2])
    return head


def test_the_loss_is_that_of_all_paths_per_symbol() -> None:
    head, scores = built(), torch.randn(2, 4, 3)
    log = scores.log_softmax(-1)
    expected = 0.0
    for trial, text, length in ((0, [1, 2], 2), (1, [1, 1, 2], 3)):
        total = sum(
            math.exp(sum(log[trial, t, k].item() for t, k in enumerate(path)))
            for path in itertools.product(range(3), repeat=4)
            if collapse(path) == text
        )
        expected += -math.log(total) / length / 2
    assert head.loss(scores, batch_of([0, 2])).item() == pytest.approx(expected, rel=1e-5)


def test_upsampling_gives_every_frame_several_symbols() -> None:
    head = built(upsampling=3)
    features = torch.randn(2, *SHAPE)
    output = head(features, batch_of([0, 1]))
    assert output.shape == (2, 12, 3)
    flat = head.readout(head.pool(features))
    assert torch.equal(output[:, 3:6].flatten(1), flat[:, 1])


def test_a_text_longer_than_the_frames_is_refused_and_the_remedy_works() -> None:
    # "aab" takes four frames: between two equal symbols there must be a blank.
    short = FeatureShape(3, 2, 3)
    with pytest.raises(ValueError, match=r"aab needs 4 frames.*has 3.*at least 2"):
        built(short)
    built(short, upsampling=2)


def test_texts_of_rows() -> None:
    head = built()
    assert head.texts_of([2, 0, 1]) == ["aab", "ab", "b"]


@pytest.mark.parametrize("method", ["greedy", "beam"])
def test_it_learns_to_spell(method) -> None:
    if method == "beam":
        pytest.importorskip("flashlight.lib.text.decoder")
    head = built(decoding=TextDecodingConfig(method=method))
    features, batch = torch.randn(4, *SHAPE), batch_of(TEXTS.rows)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.05)
    for _ in range(150):
        optimizer.zero_grad()
        head.loss(head(features, batch), batch).backward()
        optimizer.step()
    predicted = head.predict(head(features, batch), batch)
    assert torch.allclose(predicted.exp().sum(-1), torch.ones(4, 4), atol=1e-5)
    assert head.texts(predicted) == ["ab", "b", "aab", "ab"]


def test_the_language_model_is_made_of_training_texts_alone() -> None:
    pytest.importorskip("flashlight.lib.text.decoder")
    decoding = TextDecodingConfig(method="beam", language_model="training", order=2)
    head = built(decoding=decoding)  # trained on "ab" and "b", never on "aab"
    # First a, then nothing, then a or b alike.
    p = [[0.05, 0.9, 0.05], [0.9, 0.05, 0.05], [0.02, 0.49, 0.49]]
    assert head.texts(torch.tensor([p]).log()) == ["ab"]


def test_what_cannot_be() -> None:
    with pytest.raises(ValueError, match="upsampling"):
        CTCConfig(upsampling=0)
    with pytest.raises(ValueError, match="texts as targets"):
        built(targets=Targets(ids=np.array(["a"]), rows=np.array([0, 0])))
    decoding = TextDecodingConfig(method="beam", language_model="training")
    with pytest.raises(ValueError, match="training"):
        CTC(decoding=decoding).build(SHAPE, TEXTS)
