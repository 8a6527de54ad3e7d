"""Small folders of crops: each person is a pattern, each crop of it a shade."""

import cv2
import numpy as np

from trainer.crops import CropsSettings, write_crops_settings
from trainer.templates import ARCFACE_TEMPLATE

SIZE, MARGIN = 32, 4
# With a share of .3 two of twelve people are held out: p08 and p11.
TEMPLATE = tuple((x * SIZE / 112, y * SIZE / 112) for x, y in ARCFACE_TEMPLATE)


def write_crops(root, people=12, each=4, *, held_out=0.3, seed=0, size=SIZE):
    """Make ``people`` people with ``each`` crops (or a number for each person): p00, p01 …; gives the folder."""
    root.mkdir(parents=True)
    template = tuple((x * size / 112, y * size / 112) for x, y in ARCFACE_TEMPLATE)
    write_crops_settings(root, CropsSettings(size, MARGIN, template, "sface", held_out, "a test"))
    random = np.random.default_rng(seed)
    counts = [each] * people if isinstance(each, int) else each
    for person, count in enumerate(counts):
        folder = root / f"p{person:02d}"
        folder.mkdir()
        coarse = random.integers(0, 256, (5, 5, 3), dtype=np.uint8)
        face = cv2.resize(coarse, (size + 2 * MARGIN,) * 2, interpolation=cv2.INTER_CUBIC)
        for number in range(count):
            shade = np.clip(face * random.uniform(0.7, 1.2) + random.normal(0, 12, face.shape), 0, 255)
            cv2.imwrite(str(folder / f"{number}.png"), shade.astype(np.uint8))
    return root
