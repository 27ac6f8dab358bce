import mmpretrain.datasets  # noqa: F401  registers mmpretrain's, which configs name too

from .captioned import CaptionedPhotos
from .corruption import Corruption
from .creature_pairs import CreaturePairs
from .creatures import CreatureDataset
from .few_shot import FewShotDataset
from .loading import LoadPhoto
from .transforms import CLIPCrop, CLIPRandomCrop

__all__ = [
    'CLIPCrop',
    'CLIPRandomCrop',
    'CaptionedPhotos',
    'Corruption',
    'CreatureDataset',
    'CreaturePairs',
    'FewShotDataset',
    'LoadPhoto',
]
