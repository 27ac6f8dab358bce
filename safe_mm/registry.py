"""The registries of scope ``safe_mm``, children of mmpretrain's.

With ``default_scope = 'safe_mm'`` a config names the components of this package and all of
mmpretrain's without a prefix.
"""

from .environment import check_environment

check_environment()  # before anything of OpenMMLab is imported
from mmengine.registry import Registry  # noqa: E402
from mmpretrain import registry as mmpretrain  # noqa: E402


def child(parent: Registry, *locations: str) -> Registry:
    """A registry of this package for components in its modules ``locations``."""
    modules = [f'safe_mm.{location}' for location in locations]
    return Registry(parent.name, parent=parent, scope='safe_mm', locations=modules)


MODELS = child(mmpretrain.MODELS, 'models', 'methods')
MODEL_WRAPPERS = child(mmpretrain.MODEL_WRAPPERS.parent, 'engine')  # where the Runner looks
DATASETS = child(mmpretrain.DATASETS, 'datasets')
TRANSFORMS = child(mmpretrain.TRANSFORMS, 'datasets')
HOOKS = child(mmpretrain.HOOKS, 'engine')
LOOPS = child(mmpretrain.LOOPS, 'engine')
OPTIM_WRAPPER_CONSTRUCTORS = child(mmpretrain.OPTIM_WRAPPER_CONSTRUCTORS, 'engine')
OPTIM_WRAPPERS = child(mmpretrain.OPTIM_WRAPPERS, 'engine')
PARAM_SCHEDULERS = child(mmpretrain.PARAM_SCHEDULERS, 'engine')
METRICS = child(mmpretrain.METRICS, 'evaluation')
ANALYSES = Registry('analysis', scope='safe_mm', locations=['safe_mm.analyses'])
