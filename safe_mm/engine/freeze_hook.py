"""Fine-tune a few named parts and freeze the rest, in any model."""
import difflib
from fnmatch import fnmatchcase
from typing import Iterable, List, Sequence

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import nn

from ..errors import InputError
from ..registry import HOOKS
from .unwrap import unwrap


def freeze_except(model: nn.Module, patterns: Sequence[str]) -> List[str]:
    """Freezes all parameters whose names match none of the patterns.

    A parameter that the model itself has frozen stays so.

    Args:
        model (nn.Module): Any model.
        patterns (Sequence[str]): Glob patterns for names of parameters.

    Returns:
        list[str]: Names of the parameters that are left to train.

    Raises:
        InputError: A pattern matches no parameter, or none that the model
            itself lets train.
    """
    parameters = dict(model.named_parameters())
    for pattern in patterns:
        matches = [n for n in parameters if fnmatchcase(n, pattern)]
        if not matches:
            raise InputError(
                f'the pattern {pattern!r} matches no parameter. Near matches:'
                f' {", ".join(near_matches(pattern, model))}.')
        if not any(parameters[name].requires_grad for name in matches):
            raise InputError(
                f'the pattern {pattern!r} matches only parameters that the '
                f'model itself has frozen, such as {matches[0]}.')
    for name, parameter in parameters.items():
        if not any(fnmatchcase(name, pattern) for pattern in patterns):
            parameter.requires_grad_(False)
    return [n for n, p in parameters.items() if p.requires_grad]


def near_matches(pattern: str, model: nn.Module) -> List[str]:
    """Parameters, or patterns for whole modules, with names like it."""
    candidates = [name for name, _ in model.named_parameters()]
    candidates += [
        f'{name}.*' for name, module in model.named_modules()
        if name and next(module.parameters(), None) is not None
    ]
    near = difflib.get_close_matches(pattern, candidates, n=5, cutoff=0.4)
    return near or candidates[:5]


def frozen_modules(model: nn.Module,
                   patterns: Sequence[str]) -> List[nn.Module]:
    """The outermost modules of which nothing is to train.

    A module below a pattern counts as to train even without parameters, so
    that a tuned part keeps its dropout.
    """

    def trains(name: str, module: nn.Module) -> bool:
        prefix = name + '.' if name else ''
        return any(p.requires_grad for p in module.parameters()) or any(
            fnmatchcase(prefix + child, pattern)
            for child, _ in module.named_modules() for pattern in patterns)

    def outermost(name: str, module: nn.Module) -> Iterable[nn.Module]:
        if not trains(name, module):
            yield module
            return
        for child_name, child in module.named_children():
            prefix = name + '.' if name else ''
            yield from outermost(prefix + child_name, child)

    return list(outermost('', model))


@HOOKS.register_module()
class FreezeHook(Hook):
    """Trains the named parts of a model and keeps the rest as it is.

    The Runner wraps the model for distributed training and builds the
    optimizer before any hook runs; this hook puts both right: the optimizer
    holds trainable tensors only, and processes exchange only those. Frozen
    modules stay in eval mode, so that no statistics drift.

    Args:
        trainable (Sequence[str]): Glob patterns for names of parameters, such
            as ``'backbone.layer4.*'``; none freezes all. Defaults to SAFE's
            tuned pooling layer, ``('neck.attn_pool_f.*', )``.

    Raises:
        InputError: A pattern matches no parameter.
    """

    priority = 'VERY_HIGH'

    def __init__(self,
                 trainable: Sequence[str] = ('neck.attn_pool_f.*', )) -> None:
        self.trainable = tuple(trainable)
        self._frozen_modules: List[nn.Module] = []

    def before_run(self, runner) -> None:
        """Freezes, filters the optimizer, and wraps the model anew."""
        wrapper = runner.optim_wrapper
        if not isinstance(wrapper, (OptimWrapper, OptimWrapperDict)):
            return  # no training in this run
        wrapped = is_model_wrapper(runner.model)
        model = unwrap(runner.model)
        left = freeze_except(model, self.trainable)
        self._frozen_modules = frozen_modules(model, self.trainable)
        several = isinstance(wrapper, OptimWrapperDict)
        for one in wrapper.values() if several else [wrapper]:
            for group in one.param_groups:
                group['params'] = [
                    p for p in group['params'] if p.requires_grad
                ]
        if wrapped:
            runner.model = model  # the old wrapper lets go of its tensors
        if wrapped and left:  # DDP refuses a model with nothing to train
            runner.model = runner.wrap_model(
                runner.cfg.get('model_wrapper_cfg'), model)
        size = sum(p.numel() for p in model.parameters() if p.requires_grad)
        runner.logger.info(f'Training {len(left)} tensors with {size:,} '
                           f'numbers: {", ".join(self.trainable) or "none"}')

    def before_train_iter(self,
                          runner,
                          batch_idx: int,
                          data_batch: dict = None) -> None:
        """The train loop has just put all modules in training mode."""
        for module in self._frozen_modules:
            module.eval()
