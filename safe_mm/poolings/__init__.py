"""Pooling layers of CLIP's visual encoders, with one interface.

Another pooling is another file here and another entry of :data:`POOLINGS`.
"""

from .base import MapPooling, Pooling, TokenPooling
from .coca import AttentionalPool
from .map_head import MapHead
from .resnet import AttentionPool
from .timm_attn import AbsAttentionPool, RotAttentionPool
from .timm_vit import TimmLastBlockPool
from .vit import LastBlockPool

# Tried in this order
POOLINGS = (
    AttentionPool,
    LastBlockPool,
    AttentionalPool,
    MapHead,
    TimmLastBlockPool,
    AbsAttentionPool,
    RotAttentionPool,
)

__all__ = [
    'POOLINGS',
    'AbsAttentionPool',
    'AttentionPool',
    'AttentionalPool',
    'LastBlockPool',
    'MapHead',
    'MapPooling',
    'Pooling',
    'RotAttentionPool',
    'TimmLastBlockPool',
    'TokenPooling',
]
