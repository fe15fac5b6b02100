"""Models of Keras: `gitexp.keras.log_model(model, "model", input_example=X[:5])`."""

from __future__ import annotations

from gitexp.models.door import Door

__all__ = ["load_model", "log_model", "save_model"]

_door = Door("keras")
log_model, save_model, load_model = _door.log_model, _door.save_model, _door.load_model
