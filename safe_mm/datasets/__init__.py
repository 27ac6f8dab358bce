import mmpretrain.datasets  # noqa: F401  registers what configs name beside ours

from .creatures import CreatureDataset
from .few_shot import FewShotDataset
from .transforms import CLIPCrop

__all__ = ['CLIPCrop', 'CreatureDataset', 'FewShotDataset']
