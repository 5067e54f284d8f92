"""Latency and speed of codes that are made while the signal arrives.

A causal and a windowed tokenizer of the published size, blocks of 80 ms to 2 s, 64 and 306
channels. Latency is what a code waits for: the samples from the first of its frame to the last that
must be there, and the longest call. The real-time factor is seconds of signal for a second of work.
Every block size must give the same codes.

    python benchmarks/tokenizer_stream.py --seconds 20
"""

import argparse
import hashlib
import resource
import time

import numpy as np
import torch

from brainfm.brain_tokenizer import BrainTokenizer, Sensors, TokenizerConfig
from brainfm.tokenizer_stream import TokenizerStream

BLOCKS = (0.08, 0.25, 1.0, 2.0)


def make(causal: bool, n_channels: int) -> tuple[BrainTokenizer, Sensors]:
    torch.manual_seed(0)
    tokenizer = BrainTokenizer(TokenizerConfig(causal=causal)).eval().requires_grad_(False)
    latents = torch.nn.functional.normalize(torch.randn(2048, tokenizer.cfg.width), dim=-1)
    tokenizer.quantizer.initialise(latents)
    positions = 0.1 * torch.nn.functional.normalize(torch.randn(1, n_channels, 3), dim=-1)
    types = torch.zeros(1, n_channels, dtype=torch.long)
    mask = torch.ones(1, n_channels, dtype=torch.bool)
    return tokenizer, tokenizer.embed_sensors(positions, 0 * positions, types, mask)


def run(stream: TokenizerStream, signal: np.ndarray, size: int) -> tuple[str, float, float]:
    """Return a digest of the codes, the seconds of work and those of the longest call."""
    state, calls = hashlib.sha256(), []
    for block in np.split(signal, range(size, signal.shape[1], size), axis=1):
        begin = time.perf_counter()
        codes = stream.push(block)
        calls.append(time.perf_counter() - begin)
        state.update(codes.tobytes())
    state.update(stream.finish().tobytes())
    return state.hexdigest(), sum(calls), max(calls)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--channels", type=int, nargs="+", default=[64, 306])
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    head = ("block s", "latency s", "longest ms", "real time x", "peak GB")
    print(f"{'':<24}" + "".join(f"{name:>12}" for name in head))
    for n_channels in args.channels:
        for causal in (True, False):
            tokenizer, sensors = make(causal, n_channels)
            sfreq = tokenizer.cfg.sfreq
            rng = np.random.default_rng(0)
            n_times = round(args.seconds * sfreq)
            signal = rng.standard_normal((n_channels, n_times), dtype=np.float32)
            run(TokenizerStream(tokenizer, sensors), signal[:, : tokenizer.cfg.window], 512)
            digests = set()
            for seconds in BLOCKS:
                stream = TokenizerStream(tokenizer, sensors)
                digest, work, longest = run(stream, signal, round(seconds * sfreq))
                digests.add(digest)
                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
                name = f"{n_channels} channels, {'causal' if causal else 'windows'}"
                print(
                    f"{name:<24}{seconds:>12g}{stream.latency / sfreq:>12g}{1e3 * longest:>12.1f}"
                    f"{args.seconds / work:>12.1f}{peak:>12.2f}",
                    flush=True,
                )
            assert len(digests) == 1, "block sizes disagree"


if __name__ == "__main__":
    main()
