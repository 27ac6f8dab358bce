import mmpretrain.models  # noqa: F401  registers what configs name beside ours

from .backbone import CLIPTrunk
from .cache_head import CacheHead
from .data_preprocessor import CLIPDataPreprocessor
from .head import TextClsHead
from .neck import BlendedAttentionPool, CLIPPool
from .pretrainer import CLIPPretrainer
from .run_stack import RunStack

__all__ = [
    'BlendedAttentionPool', 'CLIPDataPreprocessor', 'CLIPPool',
    'CLIPPretrainer', 'CLIPTrunk', 'CacheHead', 'RunStack', 'TextClsHead'
]
