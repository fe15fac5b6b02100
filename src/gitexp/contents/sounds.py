"""Sound: how long it is, and how far the waves are apart."""

from __future__ import annotations

import io
import wave
from array import array
from typing import Any

from gitexp.contents.change import ContentChange


def compare_sounds(before: bytes, after: bytes) -> ContentChange:
    """Length, rate and channels; where these are the same and samples have 16 bits, by how much one differs at most."""
    with wave.open(io.BytesIO(before)) as one, wave.open(io.BytesIO(after)) as other:
        old, new = one.getparams(), other.getparams()
        waves = [array("h", file.readframes(file.getnframes())) for file in (one, other)] if old.sampwidth == 2 else []
    seconds = [part.nframes / part.framerate for part in (old, new)]
    facts: dict[str, Any] = {
        "seconds_before": seconds[0],
        "seconds_after": seconds[1],
        "sample_rate": [old.framerate, new.framerate],
        "channels": [old.nchannels, new.nchannels],
    }
    if (old.framerate, old.nchannels) != (new.framerate, new.nchannels):
        text = f"{old.framerate} Hz, {old.nchannels} channels became {new.framerate} Hz, {new.nchannels}"
        return ContentChange(kind="audio", summary=text, facts=facts)
    if old.nframes != new.nframes:
        text = f"{seconds[0]:.3g} s became {seconds[1]:.3g} s"
        return ContentChange(kind="audio", summary=text, facts=facts)
    text = f"{seconds[1]:.3g} s"
    if waves and old.sampwidth == new.sampwidth:
        largest = max((abs(a - b) for a, b in zip(*waves, strict=True)), default=0) / 32768
        facts["largest_difference"] = largest
        text += f", samples differ by up to {largest:.2g} of full scale" if largest else ", the same samples"
    return ContentChange(kind="audio", summary=text, facts=facts)
