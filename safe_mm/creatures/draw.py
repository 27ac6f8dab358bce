"""Pictures of creatures, with masks and keypoints of their parts."""

import random
from typing import Dict, NamedTuple, Optional, Tuple

import numpy as np

from . import anatomy
from .raster import SUB, TURN, ellipse, fill_polygon, noise, rotate

SIZE = 112  # of a picture, in pixels
FINE = 2 * SIZE  # drawn at twice the size, then averaged

# Of the pictures to pretrain on; of few-shot tasks; and of tasks out of their distribution. A CLIP
# meets the latter two for the first time.
KNOWN_GROUNDS = (
    'grass',
    'sand',
    'water',
    'snow',
    'bricks',
    'planks',
    'mud',
    'cloth',
    'pebbles',
    'carpet',
)
GROUNDS = ('tiles', 'leaves', 'stars', 'gravel')
NEW_GROUNDS = ('net', 'dunes', 'embers', 'ice')
PARTS = ('ground', 'tail', 'crest', 'legs', 'body', 'pattern', 'head', 'ears', 'eye')

GROUND_COLORS = {
    'grass': (95, 140, 75),
    'sand': (205, 185, 140),
    'water': (90, 140, 175),
    'snow': (225, 230, 235),
    'bricks': (160, 95, 80),
    'planks': (150, 115, 80),
    'tiles': (180, 185, 170),
    'leaves': (70, 100, 60),
    'stars': (35, 35, 60),
    'gravel': (130, 125, 120),
    'mud': (110, 85, 60),
    'cloth': (190, 170, 180),
    'pebbles': (150, 150, 140),
    'carpet': (120, 50, 60),
    'net': (120, 140, 90),
    'dunes': (215, 170, 120),
    'embers': (60, 35, 30),
    'ice': (170, 205, 215),
}
CHECKS = dict(gravel=4, pebbles=16, mud=32)  # sides of squares, fine pixels


class Picture(NamedTuple):
    """A drawn creature.

    Attributes:
        image (ndarray): RGB, uint8, shape (112, 112, 3).
        parts (ndarray): Index into ``PARTS`` of the last part that shows in each pixel, be it in a
            quarter of it; uint8, shape (112, 112). A 'plain' creature has no 'pattern'.
        keypoints (dict): Name -> (x, y) in pixels, as floats.
    """

    image: np.ndarray
    parts: np.ndarray
    keypoints: Dict[str, tuple]


class Pose:
    """Place, size, turn and side of a creature, drawn by chance."""

    def __init__(self, rng: random.Random) -> None:
        self.scale = rng.randrange(13, 18)  # 1/16 pixels to the hundredth
        self.angle = rng.randrange(-16, 17) % TURN
        self.side = rng.choice((-1, 1))
        # All stays in the picture, but the tip of an ear once in a hundred
        margin = 104 * self.scale
        self.center = np.array([rng.randrange(margin, FINE * SUB - margin) for _ in range(2)])

    def place(self, points: np.ndarray) -> np.ndarray:
        """From hundredths of a creature to 1/16 pixels."""
        points = rotate(points * (self.side, 1) * 16, self.angle)
        return points * self.scale // 16 + self.center

    def unplace(self) -> np.ndarray:
        """Creature coordinates of all pixel centres, shape (2, 224, 224)."""
        steps = SUB * np.arange(FINE) + SUB // 2
        grid = np.stack(np.meshgrid(steps, steps), -1) - self.center
        points = rotate(grid, -self.angle) // self.scale
        return np.moveaxis(points * (self.side, 1), -1, 0)


def draw_ground(
    kind: str, rng: random.Random, color: Optional[Tuple[int, int, int]] = None
) -> np.ndarray:
    """A textured ground, integers, shape (224, 224, 3)."""
    bits = np.random.PCG64(rng.getrandbits(63))
    x, y = np.meshgrid(np.arange(FINE), np.arange(FINE))
    x, y = x + rng.randrange(64), y + rng.randrange(64)
    fine = noise(bits, (FINE, FINE))
    coarse = noise(bits, (FINE // 8, FINE // 8)).repeat(8, 0).repeat(8, 1)
    if kind == 'grass':
        shade = noise(bits, (FINE // 16, FINE)).repeat(16, 0) // 4
    elif kind == 'water':
        shade = 24 * ((y + (x // 8 % 4 - 2) ** 2) // 6 % 3)
    elif kind == 'bricks':
        shade = 60 * ((y % 24 < 3) | ((x + 24 * (y // 24 % 2)) % 48 < 3))
    elif kind == 'planks':
        shade = 50 * (y % 32 < 3) + noise(bits, (FINE, 1)) // 5
    elif kind == 'tiles':
        shade = 45 * ((x // 28 + y // 28) % 2)
    elif kind == 'leaves':
        shade = coarse // 3
    elif kind == 'stars':
        shade = -180 * (fine > 253)
    elif kind in CHECKS:
        side = CHECKS[kind]
        shade = noise(bits, (FINE // side, FINE // side)).repeat(side, 0).repeat(side, 1) // 3
    elif kind == 'cloth':
        shade = 40 * ((x // 4 + y // 4) % 2)
    elif kind == 'carpet':
        shade = -50 * ((x % 16 - 8) ** 2 + (y % 16 - 8) ** 2 < 16)
    elif kind == 'net':
        shade = 45 * (((x + y) % 20 < 3) | ((x - y) % 20 < 3))
    elif kind == 'dunes':
        shade = 2 * abs((x + 2 * y) % 64 - 32)
    elif kind == 'embers':
        shade = -130 * (coarse > 240)
    elif kind == 'ice':
        shade = 40 * ((x // 12 + y // 20) % 3 == 0)
    else:  # sand and snow: hardly any texture
        shade = coarse // 16
    shade = shade + fine // 12
    return np.array(color or GROUND_COLORS[kind]) - shade[..., None]


def draw(
    attributes: Dict[str, str],
    ground: str,
    rng: random.Random,
    rendering: str = 'color',
    ground_color: Optional[Tuple[int, int, int]] = None,
) -> Picture:
    """Draws a creature.

    Args:
        attributes (dict): A kind for each of ``anatomy.KINDS``.
        ground (str): One of ``GROUND_COLORS``.
        rng (random.Random): Chooses place, size, turn, light, distractors and the second colour.
        rendering (str): 'color', or 'negative' for grey with dark and light exchanged. Defaults to
            'color'.
        ground_color (tuple[int], optional): RGB, in place of the ground's own. Defaults to None.

    Returns:
        Picture: Image, parts and keypoints.
    """
    canvas = draw_ground(ground, rng, ground_color)
    parts = np.zeros((FINE, FINE), np.uint8)
    pose = Pose(rng)
    color = np.array(anatomy.COLORS[attributes['color']])
    other = color * 2 // 5 if sum(color) > 330 else color // 3 + 150

    for _ in range(rng.randrange(4, 9)):
        x, y = rng.randrange(FINE * SUB), rng.randrange(FINE * SUB)
        radius = rng.randrange(4 * SUB, 11 * SUB)
        shape = ellipse(x, y, radius, radius, rng.choice((4, 8, 32)))
        box, mask = fill_polygon(shape, FINE)
        canvas[box][mask] = [rng.randrange(40, 230) for _ in range(3)]

    def paint(part: str, outline: np.ndarray, shade: np.ndarray) -> None:
        box, mask = fill_polygon(pose.place(outline), FINE)
        canvas[box][mask] = shade
        parts[box][mask] = PARTS.index(part)

    for outline in anatomy.TAIL_OUTLINES[attributes['tail']]:
        paint('tail', outline + anatomy.TAIL_ROOT, color * 4 // 5)
    for outline in anatomy.CREST_OUTLINES[attributes['crest']]:
        paint('crest', outline, color * 7 // 8)
    for outline in anatomy.legs(attributes['legs']):
        paint('legs', outline, color * 3 // 4)
    paint('body', anatomy.BODY, color)
    body = parts == PARTS.index('body')
    marks = body & anatomy.pattern(attributes['pattern'], *pose.unplace())
    canvas[marks] = other
    parts[marks] = PARTS.index('pattern')
    for root in anatomy.EAR_ROOTS:
        for outline in anatomy.EAR_OUTLINES[attributes['ears']]:
            paint('ears', outline + root, color * 4 // 5)
    paint('head', anatomy.HEAD, color * 11 // 10)
    if attributes['ears'] == 'floppy':  # hang in front of the head
        for root in anatomy.EAR_ROOTS:
            for outline in anatomy.EAR_OUTLINES['floppy']:
                paint('ears', outline + root, color * 4 // 5)
    paint('eye', anatomy.EYE, np.array((25, 20, 20)))
    touched = parts.reshape(SIZE, 2, SIZE, 2).max((1, 3))
    return Picture(finish(canvas, rng, rendering), touched, keypoints(pose))


def finish(canvas: np.ndarray, rng: random.Random, rendering: str) -> np.ndarray:
    """Light, rendering, and the average of 2 x 2 pixels."""
    across, down = rng.randrange(-40, 41), rng.randrange(-40, 41)
    ramp = np.arange(FINE)
    light = rng.randrange(200, 300) + (across * ramp[None] + down * ramp[:, None]) // FINE
    canvas = np.clip(canvas * light[..., None] // 256, 0, 255)
    if rendering == 'negative':
        grey = (canvas * (77, 150, 29)).sum(-1) // 256
        canvas = np.repeat(255 - grey[..., None], 3, -1)
    blocks = canvas.reshape(SIZE, 2, SIZE, 2, 3).sum((1, 3))
    return ((blocks + 2) // 4).astype(np.uint8)


def keypoints(pose: Pose) -> Dict[str, tuple]:
    """Where the parts are rooted, in pixels of the picture.

    The root of an ear or tail may be hidden behind the head or the body.
    """
    points = dict(
        body=(0, 0),
        head=(46, -30),
        eye=(54, -34),
        left_ear=anatomy.EAR_ROOTS[0],
        right_ear=anatomy.EAR_ROOTS[1],
        tail=anatomy.TAIL_ROOT,
    )
    placed = pose.place(np.array(list(points.values())))
    return {name: (x / (2 * SUB), y / (2 * SUB)) for name, (x, y) in zip(points, placed.tolist())}
