"""Figures, images and short films as files. matplotlib, plotly and Pillow are used where the value comes from them."""

from __future__ import annotations

import io
from typing import Any

from gitexp.errors import UsageError
from gitexp.media.arrays import as_array, suffix_of

FILMS = (".gif", ".webp", ".png", ".apng")


def encode_figure(figure: Any, name: str) -> bytes:
    """A matplotlib figure (any format its `savefig` knows) or a plotly one (.html, .json, or an image with kaleido).

    The .html of plotly holds all it needs, so it opens offline.
    """
    kind = suffix_of(name).lstrip(".") or "png"
    if hasattr(figure, "figure") and not hasattr(figure, "savefig"):  # axes
        figure = figure.figure
    if hasattr(figure, "savefig"):
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind)
        return buffer.getvalue()
    if hasattr(figure, "to_html") and hasattr(figure, "to_image"):
        if kind in ("html", "htm"):
            return str(figure.to_html(include_plotlyjs=True)).encode()
        return str(figure.to_json()).encode() if kind == "json" else bytes(figure.to_image(format=kind))
    raise UsageError(f"{type(figure).__name__} is no figure of matplotlib or plotly.")


def encode_image(image: Any, name: str) -> bytes:
    """A PIL image, or an array of shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4); floats in [0, 1] become 0 to 255."""
    if not hasattr(image, "save"):
        image = _image(as_array(image, what="Images"))
    buffer = io.BytesIO()
    kind = suffix_of(name).lstrip(".") or "png"
    image.save(buffer, format={"jpg": "jpeg", "tif": "tiff"}.get(kind, kind))
    return buffer.getvalue()


def encode_video(frames: Any, name: str, frames_per_second: float) -> bytes:
    """An array of shape (T, H, W), (T, H, W, 1), (T, H, W, 3) or (T, H, W, 4), or a list of images, as an animation.

    Raises:
        UsageError: there are no frames, or the name ends in no format that Pillow animates: .gif, .webp, .png.
    """
    suffix = suffix_of(name)
    if suffix not in FILMS:
        raise UsageError(
            f"Frames are written as .gif, .webp or .png, not '{suffix}'.", hint="log_artifact keeps a film."
        )
    if not 0 < frames_per_second <= 1000:
        raise UsageError(f"There are from 0 to 1,000 frames a second, not {frames_per_second!r}.")
    images = [frame if hasattr(frame, "save") else _image(as_array(frame, what="Frames")) for frame in frames]
    if not images:
        raise UsageError("There are no frames.")
    first, *rest = [image.convert("RGB") if suffix == ".gif" else image for image in images]
    buffer = io.BytesIO()
    form = {".apng": "png"}.get(suffix, suffix[1:])
    first.save(buffer, format=form, save_all=True, append_images=rest, duration=1000 / frames_per_second, loop=0)
    return buffer.getvalue()


def _image(pixels: Any) -> Any:
    try:
        from PIL import Image  # an extra
    except ImportError as error:
        raise UsageError("An array becomes an image only with Pillow.", hint="pip install 'gitexp[figures]'") from error
    import numpy as np

    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] not in (3, 4)):
        raise UsageError(f"An image has the shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), not {pixels.shape}.")
    if pixels.dtype.kind == "f":
        pixels = (np.clip(np.nan_to_num(pixels), 0, 1) * 255).round()
    elif pixels.dtype.kind == "b":
        pixels = pixels * 255
    return Image.fromarray(pixels.astype(np.uint8))
