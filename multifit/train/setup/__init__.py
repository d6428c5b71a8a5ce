"""From an input file and data to a run that can start."""
