"""Timing of a run (``--profile``)."""
