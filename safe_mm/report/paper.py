"""Figures that the paper publishes, to stand beside those measured.

All in percent, with OpenAI's weights: Table I (average of eleven data sets,
Caltech101) and Table III (16-shot ImageNet and its variants).
"""
from typing import Dict, Optional

SHOTS = (1, 2, 4, 8, 16)
AVERAGE = 'average'
# The data sets of Table I, in its order
DATA_SETS = dict(
    imagenet='ImageNet',
    caltech101='Caltech101',
    oxfordpets='OxfordPets',
    stanfordcars='StanfordCars',
    flowers102='Flowers102',
    food101='Food101',
    fgvcaircraft='FGVCAircraft',
    sun397='SUN397',
    dtd='DTD',
    eurosat='EuroSAT',
    ucf101='UCF101')
VARIANTS = ('imagenet', 'imagenetv2', 'imagenet_sketch', 'imagenet_a',
            'imagenet_r')

_AVERAGE = {
    'safe': (66.17, 68.43, 71.07, 74.16, 77.33),
    'safe-a': (67.04, 69.32, 71.96, 74.88, 78.12),
}
_CALTECH101 = {'safe': (90.07, 90.69, 91.72, 92.79, 93.94)}
_ZERO_SHOT = {AVERAGE: 58.77, 'caltech101': 86.29}
_VARIANTS = {
    ('RN50', 'zero-shot'): (58.2, 51.3, 33.3, 21.7, 56.0),
    ('RN50', 'safe'): (65.9, 57.7, 36.9, 23.6, 60.3),
    ('RN50', 'safe-a'): (66.5, 58.6, 36.3, 23.0, 59.9),
    ('ViT-B-16', 'zero-shot'): (66.7, 60.8, 46.2, 47.8, 74.0),
    ('ViT-B-16', 'safe'): (74.2, 67.0, 50.2, 51.6, 78.1),
    ('ViT-B-16', 'safe-a'): (75.2, 67.8, 49.8, 51.3, 77.4),
}


def backbone_of(clip: str) -> Optional[str]:
    """Of 'RN50 openai', 'RN50'; None if the weights are not OpenAI's.

    A file of weights is taken for theirs if it is named as they named it.
    """
    model, _, weights = clip.partition(' ')
    model = model.replace('-quickgelu', '')
    return model if weights in ('openai', model) else None


def accuracy(backbone: Optional[str], method: str, shots: int,
             data: str) -> Optional[float]:
    """Table I's figure, or None where it is not at hand.

    Args:
        backbone (str, optional): See :func:`backbone_of`.
        method (str): 'zero-shot', 'safe' or 'safe-a'.
        shots (int): K; 0 for zero-shot.
        data (str): One of ``DATA_SETS``, or ``AVERAGE``.
    """
    if backbone != 'RN50':
        return None
    if method == 'zero-shot':
        return _ZERO_SHOT.get(data)
    columns: Dict[str, dict] = {AVERAGE: _AVERAGE, 'caltech101': _CALTECH101}
    row = columns.get(data, {}).get(method)
    return row[SHOTS.index(shots)] if row and shots in SHOTS else None


def variant_accuracy(backbone: Optional[str], method: str, shots: int,
                     variant: str) -> Optional[float]:
    """Table III's figure, or None where it is not at hand."""
    row = _VARIANTS.get((backbone, method))
    if row is None or variant not in VARIANTS or shots not in (0, 16):
        return None
    return row[VARIANTS.index(variant)]
