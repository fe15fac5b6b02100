"""Experiment tracking in git itself."""

__version__ = "0.1.0"
