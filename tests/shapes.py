"""A small data set of coloured shapes, in a folder for each class."""

import random
from pathlib import Path

from PIL import Image, ImageDraw

COLORS = ('red', 'green', 'blue', 'yellow', 'purple', 'orange')
SHAPES = ('circle', 'square', 'triangle')
SIZE = 96


def draw(color: str, rng: random.Random) -> Image.Image:
    """A shape of any kind, size and place on a grey ground among dots."""
    shape = rng.choice(SHAPES)
    image = Image.new('RGB', (SIZE, SIZE), (rng.randrange(80, 180),) * 3)
    pen = ImageDraw.Draw(image)
    for _ in range(12):
        x, y = rng.randrange(SIZE), rng.randrange(SIZE)
        pen.ellipse((x, y, x + 6, y + 6), fill=tuple(rng.randrange(256) for _ in range(3)))
    side = rng.randrange(SIZE // 4, SIZE // 2)
    x, y = rng.randrange(SIZE - side), rng.randrange(SIZE - side)
    box = (x, y, x + side, y + side)
    if shape == 'circle':
        pen.ellipse(box, fill=color)
    elif shape == 'square':
        pen.rectangle(box, fill=color)
    else:
        pen.polygon((x, y + side, x + side, y + side, x + side // 2, y), fill=color)
    return image


def draw_shapes(data_root: Path, images: int) -> None:
    """Draws so many pictures of each class into ``data_root/shapes``."""
    rng = random.Random(0)
    for color in COLORS:
        folder = data_root / 'shapes' / f'{color}_shape'
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(images):
            draw(color, rng).save(folder / f'{number:03}.png')
