"""Models of PyTorch: `gitexp.pytorch.log_model(model, "model", input_example=X[:5])`."""

from __future__ import annotations

from gitexp.models.door import Door

__all__ = ["load_model", "log_model", "save_model"]

_door = Door("pytorch")
log_model, save_model, load_model = _door.log_model, _door.save_model, _door.load_model
