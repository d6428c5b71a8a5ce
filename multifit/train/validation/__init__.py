"""Validation during training."""
