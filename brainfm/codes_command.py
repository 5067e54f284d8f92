"""Compute the codes of every recording of a corpus, once.

Training the masked model then reads a few hundred bytes a second of signal instead of running the
tokenizer again at every step. Run the same line again after an interruption: it continues.

Example::

    brainfm codes corpus --tokenizer checkpoints/tokenizer --out codes
"""

from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser, Namespace

if TYPE_CHECKING:
    from brainfm.brain_tokenizer import TokenizerConfig


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("corpus", type=Path, help="Folder that 'brainfm prepare' made.")
    parser.add_argument(
        "--tokenizer", type=Path, required=True, help="Checkpoint folder of a tokenizer."
    )
    parser.add_argument("--out", type=Path, required=True, help="Folder of the codes.")
    parser.add_argument("--device", type=str, default="cpu", help="'cpu', 'cuda' or 'cuda:N'.")


def run(args: Namespace) -> int:
    """Compute what is missing."""
    from brainfm.codes import begin_codes, finish_codes, write_codes
    from brainfm.corpus import Corpus
    from brainfm.encoder import Encoder
    from brainfm.progress import track

    corpus = Corpus(args.corpus)
    encoder = Encoder.from_pretrained(args.tokenizer).to(args.device)
    made_with = encoder.model.record.processing.settings()
    if made_with != corpus.config.settings():
        differing = [k for k, v in corpus.config.settings().items() if made_with.get(k) != v]
        raise ValueError(
            f"{args.corpus} was prepared with other settings ({', '.join(differing)}) than the "
            f"tokenizer {args.tokenizer} was trained with; prepare it again with the tokenizer's"
        )
    begin_codes(args.out, args.tokenizer)
    for index in track(range(len(corpus)), "codes", unit="recordings"):
        write_codes(encoder, corpus, index, args.out)
    finish_codes(args.out, corpus)
    print(
        f"codes of {len(corpus)} recordings, {bits_per_second(encoder.model.record.tokenizer):g} "
        f"bit/s each, in {args.out}"
    )
    return 0


def bits_per_second(cfg: "TokenizerConfig") -> float:
    """Return the bit rate of a tokenizer without overlap of its windows."""
    import math

    per_frame = cfg.n_sources * cfg.quantizer.n_quantizers * math.log2(cfg.quantizer.codebook_size)
    return cfg.sfreq / cfg.hop * per_frame
