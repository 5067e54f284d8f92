"""Stage 2: train the masked model on codes."""
