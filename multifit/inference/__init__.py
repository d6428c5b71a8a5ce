"""Prediction: structures, the compiled evaluator, and the public ``Potential``."""
