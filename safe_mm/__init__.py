"""SAFE, few-shot fine-tuning of CLIP's pooling layer, for OpenMMLab."""

import warnings

from .environment import check_environment
from .version import __version__

# mmcv-lite lacks operators that nothing here needs
warnings.filterwarnings('ignore', 'Fail to import ``MultiScale')
check_environment()

__all__ = ['__version__']
