import mmpretrain.engine  # noqa: F401  registers what configs name beside ours

from .cache_hook import CacheHook
from .checkpoint_hook import SlimCheckpointHook
from .class_names_hook import ClassNamesHook
from .early_stopping_hook import ResumableEarlyStoppingHook
from .freeze_hook import FreezeHook
from .grid import (
    GridOptimWrapperConstructor,
    has_pool_to_train,
    settings_of,
    train_together,
)
from .grid_loops import GridValLoop, SeedsTrainLoop
from .schedulers import WarmupLR
from .stored_features_hook import StoredFeaturesHook
from .zero_shot_hook import ZeroShotHook

__all__ = [
    'CacheHook', 'ClassNamesHook', 'FreezeHook',
    'GridOptimWrapperConstructor', 'GridValLoop',
    'ResumableEarlyStoppingHook', 'SeedsTrainLoop', 'SlimCheckpointHook',
    'StoredFeaturesHook', 'WarmupLR', 'ZeroShotHook', 'has_pool_to_train',
    'settings_of', 'train_together'
]
