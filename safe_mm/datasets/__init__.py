import mmpretrain.datasets  # noqa: F401  registers what configs name beside ours

from .creature_pairs import CreaturePairs
from .creatures import CreatureDataset
from .few_shot import FewShotDataset
from .transforms import CLIPCrop

__all__ = ['CLIPCrop', 'CreatureDataset', 'CreaturePairs', 'FewShotDataset']
