"""The state of a run: new, restarted, or from another model."""
