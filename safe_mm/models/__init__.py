import mmpretrain.models  # noqa: F401  registers what configs name beside ours

from .backbone import CLIPTrunk
from .data_preprocessor import CLIPDataPreprocessor
from .head import TextClsHead
from .neck import BlendedAttentionPool
from .pretrainer import CLIPPretrainer
from .run_stack import RunStack

__all__ = [
    'BlendedAttentionPool', 'CLIPDataPreprocessor', 'CLIPPretrainer',
    'CLIPTrunk', 'RunStack', 'TextClsHead'
]
