"""EEG and MEG from any device as discrete codes: tokenize, pretrain, decode."""

__version__ = "0.1.0.dev0"
