"""CLIP, split in three: dense features, pooling layer, text encoder."""
from .pooling import AttentionPool, LastBlockPool
from .preprocess import preprocess_cfg
from .split import SplitCLIP, split_clip
from .tokenizer import get_tokenizer

__all__ = [
    'AttentionPool', 'LastBlockPool', 'SplitCLIP', 'get_tokenizer',
    'preprocess_cfg', 'split_clip'
]
