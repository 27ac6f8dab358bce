import mmpretrain.engine  # noqa: F401  registers what configs name beside ours

from .bfloat16 import BFloat16OptimWrapper
from .checkpoint_hook import SlimCheckpointHook
from .distributed import DistributedClassifier
from .early_stopping_hook import ResumableEarlyStoppingHook
from .feature_cache_hook import FeatureCacheHook
from .finite_loss_hook import FiniteLossHook
from .fit_hook import FitHook
from .freeze_hook import FreezeHook
from .held_out_hook import HeldOutHook
from .initial_validation_hook import InitialValidationHook
from .joint import JointOptimWrapperConstructor, enable_joint_training, expand_grid
from .joint_loops import JointTrainLoop, JointValLoop
from .mean_pool_start_hook import MeanPoolStartHook
from .new_rate_hook import NewRateHook
from .quiet_runner import QuietRunner
from .schedulers import WarmupLR
from .stop_hook import StopHook
from .template_mining_hook import TemplateMiningHook
from .zero_shot_hook import ZeroShotHook

__all__ = [
    'BFloat16OptimWrapper',
    'DistributedClassifier',
    'FeatureCacheHook',
    'FiniteLossHook',
    'FitHook',
    'FreezeHook',
    'HeldOutHook',
    'InitialValidationHook',
    'JointOptimWrapperConstructor',
    'JointTrainLoop',
    'JointValLoop',
    'MeanPoolStartHook',
    'NewRateHook',
    'QuietRunner',
    'ResumableEarlyStoppingHook',
    'SlimCheckpointHook',
    'StopHook',
    'TemplateMiningHook',
    'WarmupLR',
    'ZeroShotHook',
    'enable_joint_training',
    'expand_grid',
]
