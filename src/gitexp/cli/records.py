"""Runs as JSON: the same documented keys wherever a command shows one."""

from gitexp.domain.summary import run_to_json as run_to_json
