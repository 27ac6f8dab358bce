"""What the parts of a classifier declare, and what others may ask of them."""

from typing import Callable, Dict, List, Optional, Sequence, Tuple, Union

import torch
from mmpretrain.structures import DataSample
from torch import nn

from ..errors import InputError
from ..poolings import Pooling


class Part(nn.Module):
    """Base of necks and heads. The defaults suit a part that never changes.

    A part declares what it needs; the classifier, the training loop, the feature cache, the search
    and the report ask for it and never look at the class of a part.

    Attributes:
        trainable (Sequence[str]): Glob patterns for the names of the own parameters that gradient
            descent trains.
        hyperparameters (Sequence[str]): Names of scalars that may change after training, registered
            by :meth:`add_hyperparameter`.
    """

    trainable: Sequence[str] = ()
    hyperparameters: Sequence[str] = ()

    def add_hyperparameter(self, name: str, value: float) -> None:
        """Registers a scalar of the config as a buffer.

        It becomes part of the checkpoint once :meth:`choose` has set it; until then, the value of
        the config holds.

        Raises:
            InputError: ``value`` is negative or not a number.
        """
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not value >= 0:
            raise InputError(
                f'{type(self).__name__}: {name}={value!r} must be a non-negative number.'
            )
        self.register_buffer(name, torch.tensor(float(value)), False)

    def choose(self, name: str, value: float) -> None:
        """Sets a hyper-parameter and makes it part of the checkpoint."""
        getattr(self, name).fill_(value)
        self._non_persistent_buffers_set.discard(name)

    def penalties(self) -> Dict[str, torch.Tensor]:
        """Loss terms beside the head's, by names with 'loss' in them."""
        return {}

    def merge(self) -> None:
        """Keeps results in place of what they are computed from, where no image has a part in it.

        For a model that is only to predict.
        """

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        for name in self.hyperparameters:
            if prefix + name in state_dict:
                self._non_persistent_buffers_set.discard(name)
        super()._load_from_state_dict(state_dict, prefix, *args)


def apply(pooling: Callable, dense: torch.Tensor) -> torch.Tensor:
    """How a neck calls its poolings."""
    return pooling(dense)


class Neck(Part):
    """From dense features to one feature vector for each image.

    Attributes:
        poolings (Sequence[str]): Names of the submodules that pool dense features. If none of their
            parameters is trained, features can be cached after pooling.
        needs_checkpoint (bool): Whether training must start from one.
        with_positions (bool): Whether features are those of the image and then of each position,
            (B, 1 + h*w, D), in place of (B, D). The head must be for the same.
        matches_text (bool): Whether features are of CLIP's embedding, to be compared with texts.
    """

    poolings: Sequence[str] = ()
    needs_checkpoint: bool = False
    with_positions: bool = False
    matches_text: bool = True

    def pool(self, dense: torch.Tensor, call: Callable = apply) -> torch.Tensor:
        """Dense features -> pooled features, shape (branches, B, D).

        Args:
            dense (Tensor): Dense features.
            call (Callable): Calls a pooling with them; joint runs call shared ones once.
        """
        return torch.stack([call(getattr(self, name), dense) for name in self.poolings])

    def combine(self, branches: torch.Tensor) -> torch.Tensor:
        """Pooled features (branches, B, D) -> features (B, D), or see ``with_positions``."""
        raise NotImplementedError

    def figures(self, branches: torch.Tensor) -> Dict[str, torch.Tensor]:
        """Features to report beside the combined ones, each (B, D), by name.

        'zero-shot' are those of the unchanged CLIP.
        """
        raise NotImplementedError

    def clip_pool(self) -> Pooling:
        """The pooling layer with which a CLIP by itself gives these features.

        Raises:
            InputError: There is none.
        """
        raise InputError(f'{type(self).__name__} gives features that no pooling layer of CLIP has.')

    def attention_maps(self, dense: torch.Tensor) -> Dict[str, torch.Tensor]:
        """:meth:`Pooling.attention_map` of each pooling layer by name, and 'combined'.

        The latter weights them as features are combined. Each map of shape (B, h, w) sums to one.
        Without attention, there are none.
        """
        maps = {name: getattr(self, name).attention_map(dense) for name in self.poolings}
        combined = self.combine_maps(torch.stack(list(maps.values())))
        return dict(maps, combined=combined / combined.sum((1, 2), keepdim=True))

    def combine_maps(self, maps: torch.Tensor) -> torch.Tensor:
        """Attention of all branches (branches, B, h, w) -> that of the features (B, h, w)."""
        return maps.mean(0)

    def forward(self, features: Union[torch.Tensor, Sequence[torch.Tensor]]) -> Tuple[torch.Tensor]:
        """Dense features (of a tuple, the last) -> a tuple of one (B, D)."""
        dense = features if isinstance(features, torch.Tensor) else features[-1]
        return (self.combine(self.pool(dense)),)


class Head(Part):
    """From features of the neck, (B, D), to logits (B, N).

    ``logits(*prepare(features))`` are the logits. ``prepare`` does what no hyper-parameter changes,
    so that a search calls it once. Loss and predictions come from mmpretrain's ``ClsHead``.

    Attributes:
        fits (str): When :meth:`fit` is called: 'after' training with the best weights, 'before'
            training, or '' if the head has no fit.
        fitted (Sequence[str]): Names of the own parameters and buffers of the classifier that
            :meth:`fit` sets.
        refit_for (Sequence[str]): Hyper-parameters whose change takes a new fit.
        needs_original (bool): Whether its loss takes the features of the unchanged CLIP, the first
            of the tuple of features.
        finished (Tensor): Whether a head with a fit is ready to predict.
        in_training (bool): Set while a run trains or validates; a head whose fit comes after
            training then works without it.
        with_positions (bool): Whether the features are those of a neck ``with_positions``.
        needs_text (bool): Whether it compares features with texts.
        from_names (Sequence[str]): Own tensors that follow from the class names. A model of other
            classes computes its own, and takes the rest from a checkpoint.
        class_bound (Sequence[str]): Own tensors beside ``fitted`` that are learned for the classes
            of the training. If there are any of either, the head cannot predict other classes.
    """

    fits: str = ''
    fitted: Sequence[str] = ()
    refit_for: Sequence[str] = ()
    needs_original: bool = False
    in_training: bool = False
    with_positions: bool = False
    needs_text: bool = True
    from_names: Sequence[str] = ()
    class_bound: Sequence[str] = ()
    finished: torch.Tensor
    loss: Callable[..., Dict[str, torch.Tensor]]
    predict: Callable[..., List[DataSample]]
    _get_loss: Callable[..., Dict[str, torch.Tensor]]

    def prepare(self, features: torch.Tensor) -> tuple:
        """Features (B, D) -> what :meth:`logits` takes."""
        return (features,)

    def logits(self, *prepared: torch.Tensor) -> torch.Tensor:
        """Prepared features -> logits (B, N)."""
        raise NotImplementedError

    def text_logits(self, features: torch.Tensor) -> Optional[torch.Tensor]:
        """Logits (B, N) of the text classifier alone; None without text."""
        return None

    def text_tower(self) -> Optional[nn.Module]:
        """The text encoder of a CLIP, if the head has one of its own."""
        return None

    def fit(self, features: torch.Tensor, labels: torch.Tensor, images: torch.Tensor) -> None:
        """Closed-form training on the features of all training images.

        Args:
            features (Tensor): Of all views, not normalised, shape (V, D).
            labels (Tensor): Of the views, shape (V, ).
            images (Tensor): Which image each view shows, counted from 0, shape (V, ).
        """
        raise NotImplementedError

    def reset_fit(self) -> None:
        """Drops a fit that would act on the training of the neck."""

    def check_finished(self) -> None:
        """Raises an InputError if the head must be fitted first."""
        if self.fits and not (self.in_training or self.finished):
            raise InputError(
                f'{type(self).__name__} has not been fitted: the checkpoint contains no finished '
                'fit. Complete the training with --resume, or use its best_fitted_*.pth.'
            )

    def check_predicts_new_classes(self) -> None:
        """Raises an InputError if what was learned belongs to the classes of the training."""
        bound = [*self.fitted, *self.class_bound]
        if bound:
            raise InputError(
                f'{type(self).__name__} cannot predict classes that it was not trained on: '
                f'{" and ".join(bound)} are learned for those of the training. Use a '
                'method whose class weights follow from the class names, such as SAFE.'
            )

    def forward(self, feats: Sequence[torch.Tensor]) -> torch.Tensor:
        """A tuple of features, the last of shape (B, D) -> logits (B, N)."""
        self.check_finished()
        return self.logits(*self.prepare(feats[-1]))


def check_parts(neck: Neck, head: Head) -> None:
    """Raises an InputError unless the head is for the features of the neck."""
    if neck.with_positions != head.with_positions:
        which = ('the image alone', 'the image and of each position')
        raise InputError(
            f'{type(neck).__name__} gives features of {which[neck.with_positions]}, '
            f'{type(head).__name__} takes those of {which[head.with_positions]}. Use CALIPPool '
            'with CALIPHead or CALIPFSHead, and other necks with other heads.'
        )
    if head.needs_text and not neck.matches_text:
        raise InputError(
            f'{type(head).__name__} compares features with texts, which those of '
            f'{type(neck).__name__} do not match. Use LinearProbeHead(text=False), or CLIPPool.'
        )


def losses(
    neck: Neck,
    head: Head,
    features: Tuple[torch.Tensor, ...],
    data_samples: Optional[List[DataSample]],
) -> Dict[str, torch.Tensor]:
    """All loss terms of a batch, by name; those with 'loss' in it are added up."""
    return {**head.loss(features, data_samples), **neck.penalties(), **head.penalties()}


def chunks(batch: torch.Tensor, size: int) -> Tuple[torch.Tensor, ...]:
    """Parts of a batch, so that less is in memory; all of it in torch.export, for any size."""
    return (batch,) if isinstance(batch.shape[0], torch.SymInt) else batch.split(size)


def mask_classes(
    logits: torch.Tensor, data_samples: Optional[Sequence[DataSample]]
) -> torch.Tensor:
    """Excludes classes from logits (B, N), unless they are in the ``class_ids`` of the data."""
    ids = data_samples[0].get('class_ids') if data_samples else None
    if ids is None:
        return logits
    masked = torch.full_like(logits, -torch.inf)
    masked[:, ids] = logits[:, ids]
    return masked
