"""The registries of scope ``safe_mm``, children of mmpretrain's.

With ``default_scope = 'safe_mm'`` a config names the components of this package and all of
mmpretrain's without a prefix.
"""

from mmengine.registry import Registry
from mmpretrain import registry as mmpretrain

MODELS = Registry(
    'model',
    parent=mmpretrain.MODELS,
    scope='safe_mm',
    locations=['safe_mm.models', 'safe_mm.methods'],
)
MODEL_WRAPPERS = Registry(
    'model wrapper',
    parent=mmpretrain.MODEL_WRAPPERS.parent,  # where the Runner looks
    scope='safe_mm',
    locations=['safe_mm.engine'],
)
DATASETS = Registry(
    'dataset', parent=mmpretrain.DATASETS, scope='safe_mm', locations=['safe_mm.datasets']
)
TRANSFORMS = Registry(
    'transform', parent=mmpretrain.TRANSFORMS, scope='safe_mm', locations=['safe_mm.datasets']
)
HOOKS = Registry('hook', parent=mmpretrain.HOOKS, scope='safe_mm', locations=['safe_mm.engine'])
LOOPS = Registry('loop', parent=mmpretrain.LOOPS, scope='safe_mm', locations=['safe_mm.engine'])
OPTIM_WRAPPER_CONSTRUCTORS = Registry(
    'optimizer wrapper constructor',
    parent=mmpretrain.OPTIM_WRAPPER_CONSTRUCTORS,
    scope='safe_mm',
    locations=['safe_mm.engine'],
)
PARAM_SCHEDULERS = Registry(
    'parameter scheduler',
    parent=mmpretrain.PARAM_SCHEDULERS,
    scope='safe_mm',
    locations=['safe_mm.engine'],
)
METRICS = Registry(
    'metric', parent=mmpretrain.METRICS, scope='safe_mm', locations=['safe_mm.evaluation']
)
