import mmpretrain.models  # noqa: F401  registers what configs name beside ours

from .. import checkpoint  # noqa: F401  replaces mmengine's loader of local files
from .backbone import CLIPTrunk
from .classifier import CLIPClassifier
from .data_preprocessor import CLIPDataPreprocessor
from .joint import JointRuns, add_joint_runs, use_copy
from .pretrainer import CLIPPretrainer

__all__ = [
    'CLIPClassifier',
    'CLIPDataPreprocessor',
    'CLIPPretrainer',
    'CLIPTrunk',
    'JointRuns',
    'add_joint_runs',
    'use_copy',
]
