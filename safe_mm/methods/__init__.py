"""Methods, a file each: necks and heads that a config combines."""

from .clip_adapter import CLIPAdapter
from .fine_tune import FineTunedPool
from .gda import GDAHead
from .linear_probe import LinearProbeHead
from .safe import BlendedAttentionPool
from .tip_adapter import CacheHead
from .zero_shot import CLIPPool, TextClsHead

__all__ = [
    'BlendedAttentionPool',
    'CLIPAdapter',
    'CLIPPool',
    'CacheHead',
    'FineTunedPool',
    'GDAHead',
    'LinearProbeHead',
    'TextClsHead',
]
