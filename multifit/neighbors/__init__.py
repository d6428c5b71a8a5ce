"""Neighbour search and neighbour lists."""
