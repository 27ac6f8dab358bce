"""What a creature is made of: kinds of parts and their outlines.

Outlines are polygons of integer corners in hundredths of a creature that looks to the right, x to
the right and y down, the body's centre at (0, 0).
"""

from typing import Dict, List, Tuple

import numpy as np

from .raster import ellipse, rotate

Polygon = np.ndarray

COLORS = {
    'red': (200, 50, 45),
    'orange': (230, 135, 40),
    'yellow': (225, 205, 60),
    'green': (70, 155, 65),
    'teal': (50, 160, 155),
    'blue': (60, 95, 200),
    'purple': (130, 70, 170),
    'pink': (230, 130, 170),
    'brown': (125, 85, 55),
    'grey': (135, 135, 140),
}
EARS = (
    'pointed',
    'round',
    'long',
    'floppy',
    'square',
    'forked',
    'leaf',
    'curved',
    'clubbed',
    'notched',
)
TAILS = ('thin', 'bushy', 'forked', 'curled', 'paddle', 'zigzag', 'balled', 'fan')
PATTERNS = ('plain', 'striped', 'banded', 'spotted', 'checked', 'ringed', 'patched', 'speckled')
CRESTS = ('spiked', 'sail', 'humped', 'twin', 'stepped', 'combed', 'swept', 'plated')
LEGS = ('short', 'long')

KINDS: Dict[str, Tuple[str, ...]] = dict(
    ears=EARS, tail=TAILS, crest=CRESTS, pattern=PATTERNS, legs=LEGS, color=tuple(COLORS)
)

BODY = ellipse(0, 0, 46, 30)
HEAD = ellipse(46, -30, 23, 21)
EYE = ellipse(54, -34, 4, 4, corners=16)
EAR_ROOTS = ((37, -47), (56, -48))
TAIL_ROOT = (-42, -6)


def polygon(*corners: Tuple[int, int]) -> Polygon:
    return np.array(corners)


# Outlines of one ear that stands on (0, 0)
EAR_OUTLINES: Dict[str, List[Polygon]] = {
    'pointed': [polygon((-11, 5), (0, -37), (11, 5))],
    'round': [ellipse(0, -12, 15, 15)],
    'long': [ellipse(0, -24, 8, 30)],
    'floppy': [rotate(ellipse(0, 19, 9, 25), 20)],
    'square': [polygon((-12, 5), (-12, -24), (12, -24), (12, 5))],
    'forked': [
        polygon(
            (-5, 5),
            (-5, -11),
            (-16, -35),
            (-8, -35),
            (0, -17),
            (8, -35),
            (16, -35),
            (5, -11),
            (5, 5),
        )
    ],
    'leaf': [polygon((-3, 5), (-15, -17), (0, -40), (15, -17), (3, 5))],
    'curved': [
        polygon((-9, 5), (-11, -11), (-4, -25), (11, -35), (24, -35), (12, -24), (7, -12), (8, 5))
    ],
    'clubbed': [polygon((-3, 5), (-3, -27), (3, -27), (3, 5)), ellipse(0, -31, 9, 9, corners=16)],
    'notched': [polygon((-12, 5), (-12, -29), (-4, -29), (0, -11), (4, -29), (12, -29), (12, 5))],
}

# Outlines of a crest on the back, which the body's lower part hides
CREST_OUTLINES: Dict[str, List[Polygon]] = {
    'spiked': [polygon((x - 5, -18), (x, -48), (x + 5, -18)) for x in (-28, -14, 0, 14)],
    'sail': [polygon((-36, -12), (-20, -44), (-4, -54), (8, -44), (20, -18))],
    'humped': [ellipse(-8, -26, 24, 20)],
    'twin': [ellipse(-23, -26, 13, 17), ellipse(8, -28, 13, 17)],
    'stepped': [
        polygon(
            (-34, -14),
            (-34, -30),
            (-18, -30),
            (-18, -40),
            (-2, -40),
            (-2, -50),
            (16, -50),
            (16, -14),
        )
    ],
    'combed': [
        polygon((x - 5, -18), (x - 5, -44), (x + 4, -44), (x + 4, -18)) for x in (-28, -12, 4, 20)
    ],
    'swept': [polygon((20, -18), (8, -36), (-40, -56), (-18, -34), (-26, -16))],
    'plated': [
        polygon((x - 4, -16), (x - 12, -36), (x, -50), (x + 12, -36), (x + 4, -16))
        for x in (-22, 6)
    ],
}

# Outlines of a tail that starts from (0, 0) to the left
TAIL_OUTLINES: Dict[str, List[Polygon]] = {
    'thin': [polygon((2, -3), (-42, -19), (-42, -15), (2, 4))],
    'bushy': [rotate(ellipse(-22, 0, 26, 12), 12)],
    'forked': [polygon((2, -3), (-24, -10), (-44, -26), (-40, -10), (-48, 4), (-26, -3), (2, 4))],
    'curled': [
        polygon(
            (2, -3),
            (-20, -5),
            (-32, -14),
            (-32, -27),
            (-22, -34),
            (-12, -29),
            (-12, -20),
            (-19, -18),
            (-18, -25),
            (-24, -27),
            (-26, -21),
            (-23, -13),
            (-14, -4),
            (2, 4),
        )
    ],
    'paddle': [
        polygon((2, -3), (-16, -5), (-20, -14), (-44, -18), (-46, 6), (-22, 4), (-16, 1), (2, 4))
    ],
    'zigzag': [
        polygon(
            (2, -3),
            (-12, -16),
            (-18, -4),
            (-30, -20),
            (-34, -8),
            (-48, -24),
            (-36, 2),
            (-30, -10),
            (-20, 6),
            (-13, -6),
            (2, 4),
        )
    ],
    'balled': [polygon((2, -2), (-34, -15), (-35, -11), (2, 3)), ellipse(-40, -16, 11, 11)],
    'fan': [polygon((2, -4), (-38, -34), (-48, -14), (-44, 10), (2, 5))],
}


def legs(kind: str) -> List[Polygon]:
    """Four legs, from the body down."""
    foot = {'short': 38, 'long': 52}[kind]
    return [
        polygon((x - 5, 12), (x - 4, foot), (x + 6, foot), (x + 5, 12)) for x in (-30, -16, 14, 28)
    ]


def pattern(kind: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Where a pattern shows, at points of the body.

    Args:
        kind (str): One of ``PATTERNS``.
        x (ndarray): Integer coordinates, in hundredths of a creature.
        y (ndarray): Same shape.

    Returns:
        ndarray: Boolean mask, same shape.
    """

    def dots(period: int, radius: int) -> np.ndarray:
        half = period // 2
        return (x % period - half) ** 2 + (y % period - half) ** 2 <= radius**2

    if kind == 'plain':
        return np.zeros(x.shape, bool)
    if kind == 'striped':
        return x // 8 % 2 == 0
    if kind == 'banded':
        return y // 8 % 2 == 0
    if kind == 'checked':
        return (x // 11 + y // 11) % 2 == 0
    if kind == 'spotted':
        return dots(20, 6)
    if kind == 'speckled':
        return dots(9, 2)
    if kind == 'ringed':
        return (x**2 + y**2) // 230 % 2 == 0
    return ((x + 20) ** 2 + (y + 8) ** 2 < 260) | (  # patched
        (x - 16) ** 2 + (y - 10) ** 2 < 330
    )
