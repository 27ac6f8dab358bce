import mmpretrain.datasets  # noqa: F401  registers what configs name beside ours

from .few_shot import FewShotDataset
from .transforms import CLIPCrop

__all__ = ['CLIPCrop', 'FewShotDataset']
