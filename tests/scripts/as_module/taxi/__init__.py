"""Fares of taxis."""
