"""SAFE, few-shot fine-tuning of CLIP's pooling layer, for OpenMMLab."""

import warnings
from typing import Any

from .environment import check_environment
from .version import __version__

# mmcv-lite lacks operators that nothing here needs
warnings.filterwarnings('ignore', 'Fail to import ``MultiScale')
check_environment(trains=False)

__all__ = ['Predictor', '__version__']


def __getattr__(name: str) -> Any:
    if name == 'Predictor':  # is imported with torch when it is used
        from .deploy.predictor import Predictor

        return Predictor
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
