"""Codes of a small corpus for the tests of stage 2."""

import pytest

from brainfm.checkpoints import save_checkpoint
from brainfm.codes import begin_codes, finish_codes, write_codes
from brainfm.corpus import Corpus
from brainfm.encoder import Encoder


@pytest.fixture(scope="session")
def make_codes(noise_corpus, tiny_model, tmp_path_factory):
    """Make a folder with a corpus, a tokenizer (with changes) and the corpus's codes."""

    def make(**changes):
        folder = tmp_path_factory.mktemp("made")
        corpus = Corpus(noise_corpus(folder / "corpus"))
        checkpoint = save_checkpoint(tiny_model(masked=None, **changes), folder / "tokenizer")
        begin_codes(folder / "codes", checkpoint)
        encoder = Encoder.from_pretrained(checkpoint)
        for i in range(len(corpus)):
            write_codes(encoder, corpus, i, folder / "codes")
        finish_codes(folder / "codes", corpus)
        return folder

    return make


@pytest.fixture(scope="session")
def made(make_codes):
    """A folder with a corpus, a tokenizer without overlap and the corpus's codes."""
    return make_codes()
