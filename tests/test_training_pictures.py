"""The pictures of docs/training.md are what the trainer's code says today."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

from trainer.recipes import RECIPES

DOCS = Path(__file__).parent.parent / "docs"
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


@pytest.fixture(scope="module")
def draw() -> ModuleType:
    spec = importlib.util.spec_from_file_location("draw", DOCS / "pictures" / "draw.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_recipe_has_its_picture_and_its_section(draw: ModuleType) -> None:
    assert set(draw.PICTURES) == set(RECIPES)
    text = (DOCS / "training.md").read_text()
    for name in RECIPES:
        assert f"(pictures/{name}.svg)" in text and f"`{name}`" in text


def test_the_pictures_are_those_that_the_script_draws(draw: ModuleType, tmp_path: Path) -> None:
    """Numbers may differ by a rounding; everything else may not."""
    draw.draw(tmp_path)
    for name in RECIPES:
        old, new = (DOCS / "pictures" / f"{name}.svg").read_text(), (tmp_path / f"{name}.svg").read_text()
        ElementTree.fromstring(new)
        assert NUMBER.sub("#", old) == NUMBER.sub("#", new), f"{name}: run python docs/pictures/draw.py"
        pairs = zip(NUMBER.findall(old), NUMBER.findall(new), strict=True)
        assert all(abs(float(a) - float(b)) < 0.3 for a, b in pairs), f"{name}: run python docs/pictures/draw.py"
        assert len(new) < 20_000
