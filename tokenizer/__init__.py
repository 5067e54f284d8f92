"""Stage 1: train the tokenizer."""
