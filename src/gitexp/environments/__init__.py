"""Environments: what a run or a project needs, and building that again."""
