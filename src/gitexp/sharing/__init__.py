"""Runs and their artifacts on their way to other repositories and back."""
