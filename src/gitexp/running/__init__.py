"""Launching a script and recording what it does."""
