"""One training step and its batches."""
