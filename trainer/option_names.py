"""How the settings of a run are called, and written, on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Of settings whose option is not called as they are.
_NAMES = {"crops": "crops-each", "kind": "network"}
NOT_GIVEN = "not given"


def as_options(settings: Mapping[str, Any]) -> dict[str, str]:
    """Write settings as options: "--crops-each" to "4", ``NOT_GIVEN`` for what is empty.

    Args:
        settings: as ``trainer.settings.TrainSettings.as_dict`` gives them, or as JSON read again.
    """
    flat = {name: value for name, value in settings.items() if name != "augmentation"}
    flat |= settings.get("augmentation") or {}
    return {f"--{_NAMES.get(name, name.replace('_', '-'))}": _written(value) for name, value in flat.items()}


def _written(value: object) -> str:
    if isinstance(value, Mapping):
        value = [f"{name}={'none' if item is None else item}" for name, item in value.items()]
    if isinstance(value, list | tuple):
        value = ",".join(str(item) for item in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return NOT_GIVEN if value is None or value == "" else str(value)
