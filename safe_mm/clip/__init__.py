"""CLIP in parts: dense features, pooling layer, text encoder."""

from .preprocess import preprocess_cfg
from .split import SplitCLIP, get_clip
from .tokenizer import get_tokenizer

__all__ = ['SplitCLIP', 'get_clip', 'get_tokenizer', 'preprocess_cfg']
