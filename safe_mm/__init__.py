"""SAFE, few-shot fine-tuning of CLIP's pooling layer, for OpenMMLab."""

from .environment import check_environment
from .version import __version__

check_environment()

__all__ = ['__version__']
