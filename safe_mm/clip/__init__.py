"""CLIP, split in three: dense features, pooling layer, text encoder."""
from .pooling import AttentionPool, LastBlockPool
from .preprocess import preprocess_cfg
from .split import SplitCLIP, split_clip

__all__ = [
    'AttentionPool', 'LastBlockPool', 'SplitCLIP', 'preprocess_cfg',
    'split_clip'
]
