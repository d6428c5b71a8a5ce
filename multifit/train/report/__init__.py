"""Learning curves, progress, and the final report."""
