"""Automatic differentiation within the Array API."""
