"""Stage 3: decode from features of a pretrained model."""
