"""Sound as a file."""

from __future__ import annotations

import io
import wave
from typing import Any

from gitexp.errors import UsageError
from gitexp.media.arrays import as_array, suffix_of


def encode_audio(samples: Any, name: str, sample_rate: int) -> bytes:
    """WAV of 16 bits.

    Args:
        samples: shape (n,) or (n, channels); floats in [-1, 1], or 16-bit integers.
        sample_rate: samples a second.

    Raises:
        UsageError: another shape, or a name that does not end in .wav.
    """
    if suffix_of(name) != ".wav":
        raise UsageError(
            f"Samples are written as .wav, not '{suffix_of(name)}'.", hint="log_artifact keeps other files."
        )
    if not isinstance(sample_rate, int) or sample_rate < 1:
        raise UsageError(f"The sample rate is a whole number of samples a second, not {sample_rate!r}.")
    found = as_array(samples, what="Samples")
    if found.ndim not in (1, 2) or found.dtype.kind not in "fiu":
        raise UsageError(f"Sound has the shape (n,) or (n, channels), not {found.shape}.")
    if found.dtype.kind == "f":
        import numpy as np

        found = (np.clip(np.nan_to_num(found), -1, 1) * 32767).round()
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1 if found.ndim == 1 else found.shape[1])
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(found.astype("<i2").tobytes())
    return buffer.getvalue()
