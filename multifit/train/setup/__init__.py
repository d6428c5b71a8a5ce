"""Preparation of a run from an input file and data."""
