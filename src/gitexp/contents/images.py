"""Images: their size, and how much their pixels differ."""

from __future__ import annotations

import io
from typing import Any

from gitexp.contents.change import ContentChange

MOST_PIXELS = 50_000_000


def compare_images(before: bytes, after: bytes) -> ContentChange | None:
    """Sizes in pixels; where they are the same, the share of pixels that differ and the mean difference of a channel.

    None without Pillow, or where an image is larger than 50 million pixels.
    """
    try:
        from PIL import Image, ImageChops, ImageStat  # an extra
    except ImportError:
        return None
    with Image.open(io.BytesIO(before)) as one, Image.open(io.BytesIO(after)) as other:
        if max(one.width * one.height, other.width * other.height) > MOST_PIXELS:
            return None
        facts: dict[str, Any] = {"size_before": list(one.size), "size_after": list(other.size)}
        if one.size != other.size:
            text = f"{one.width}×{one.height} became {other.width}×{other.height} pixels"
            return ContentChange(kind="image", summary=text, facts=facts)
        difference = ImageChops.difference(one.convert("RGBA"), other.convert("RGBA"))
        mean = sum(ImageStat.Stat(difference).mean) / 4 / 255
        strongest = max(high for _, high in difference.getextrema())
        bands = difference.split()
        worst = bands[0]
        for band in bands[1:]:
            worst = ImageChops.lighter(worst, band)
        unchanged = worst.histogram()[0]
        share = 1 - unchanged / (one.width * one.height)
    facts |= {"pixels_changed": share, "mean_difference": mean, "largest_difference": strongest / 255}
    size = f"{facts['size_after'][0]}×{facts['size_after'][1]}"
    if not strongest:
        return ContentChange(kind="image", summary=f"{size}, the same pixels", facts=facts)
    text = f"{size}, {_percent(share)} of the pixels differ, by {_percent(mean)} on average"
    return ContentChange(kind="image", summary=text, facts=facts)


def _percent(share: float) -> str:
    if share >= 0.1:
        return f"{share:.0%}"
    return f"{share * 100:.2g} %" if share >= 0.0001 else "under 0.01 %"
