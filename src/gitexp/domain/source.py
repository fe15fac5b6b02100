"""Who said something of a run, and whose word counts where several did."""

from __future__ import annotations

from enum import IntEnum


class Source(IntEnum):
    """Where a param or metric was seen. Of several that name one key, the lowest counts.

    Only for metrics: a source with a single point for a key does not silence another's history; its point ends it.
    """

    SCRIPT = 0
    """The script itself through gitexp's functions, and the command line of gitexp."""
    PARSER = 1
    """What the script's command-line parser returned."""
    AUTOLOG = 2
    """What a framework was seen to do."""
    FILE = 3
    """Files like `params.yaml`, `metrics.json`, event files of TensorBoard."""
    CONSTANT = 4
    """Constants at the top of a script."""
    OUTPUT = 5
    """Lines that the command printed."""
    SYSTEM = 6
    """gitexp's own sampling of the machine."""
