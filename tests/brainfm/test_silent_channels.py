"""Channels that fall silent while a recording is going on."""

import numpy as np

from brainfm.silent_channels import SilentChannels


def test_a_gap_in_a_flat_channel_is_no_sign_of_life():
    silent = SilentChannels(["flat", "good"], samples=100)
    rng = np.random.default_rng(0)
    gap = np.full((2, 30), np.nan)

    def block():
        return np.stack([np.full(60, 1e-5), rng.standard_normal(60)])

    said = [text for x in (block(), gap, block(), gap, block()) for text in silent.push(x)]
    assert said == ["flat has fallen silent"]
    assert silent.push(rng.standard_normal((2, 60))) == ["flat is back"]
