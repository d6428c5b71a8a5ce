"""Batches: frames put together, their shapes, and large frames in parts."""
