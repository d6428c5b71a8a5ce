"""Predictions beside labels, error metrics, and the output bias of a trained model."""
