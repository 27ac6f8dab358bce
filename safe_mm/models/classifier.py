"""An image classifier that owns its CLIP."""

from typing import Any, Dict, List, Optional, Sequence, Union

import torch
from mmpretrain.models import ImageClassifier
from mmpretrain.structures import DataSample
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import parametrize

from ..clip import SplitCLIP
from ..datasets.classes import class_sentences, read_classes
from ..errors import InputError
from ..registry import MODELS
from .extractor import Extractor
from .freeze import freeze_except, frozen_modules
from .original import OriginalCLIP
from .part import Head, Neck, Part, check_parts, losses, mask_classes
from .reparametrize import merge_weights
from .reparametrize import reparametrize as reparametrize_weights


@MODELS.register_module()
class CLIPClassifier(ImageClassifier):
    """Loads a CLIP once and hands its parts to trunk, neck and head.

    An image passes the stages ``image`` (B, 3, H, W) -> ``stem``, before the trained blocks of the
    trunk -> ``dense`` (B, C, h, w) or (B, L, C) -> ``pooled`` (B, branches, D) -> logits (B, N).
    What is not trained is frozen here, so that optimizers and wrappers for several processes see it
    so.

    Args:
        clip (dict): ``model_name`` and ``pretrained``, see :class:`safe_mm.clip.SplitCLIP`.
        neck (dict): Config of a :class:`safe_mm.models.part.Neck`.
        head (dict): Config of a :class:`safe_mm.models.part.Head`.
        classes (Sequence[str] | dict): Class names, or the config of a dataset that knows them. If
            empty, they come from a checkpoint. Defaults to ().
        templates (str | Sequence[str], optional): Prompt templates, see
            :func:`safe_mm.prompts.class_prompts`. If None, the dataset's, or else ``'a photo of a
            {}.'``. Defaults to None.
        backbone (dict, optional): Config of the trunk. Defaults to a
            :class:`safe_mm.models.CLIPTrunk`.
        reparametrize (dict, optional): Config of a
            :class:`safe_mm.models.reparametrize.Reparametrization`, whose parameters are then
            trained in place of what the parts declare. Defaults to None.
        trainable (Sequence[str], optional): Glob patterns for the names of the parameters to train.
            If None, what the parts declare. Defaults to None.
        data_preprocessor (dict, optional): Config, without ``clip``. Defaults to a
            :class:`safe_mm.models.CLIPDataPreprocessor`.
        train_cfg (dict, optional): mmpretrain's batch augmentations. Defaults to None.
        init_cfg (dict, optional): mmengine's initialization config. Defaults to None.

    Raises:
        InputError: The CLIP or the class names cannot be read, neck and head do not fit, a pattern
            matches no parameter, or a checkpoint does not fit.

    Attributes:
        classes (tuple[str]): Class names.
        trainable (list[str]): Names of the parameters that are trained.
        runs (JointRuns, optional): Set in joint training.
    """

    backbone: Any
    neck: Neck
    head: Head

    def __init__(
        self,
        clip: dict,
        neck: dict,
        head: dict,
        classes: Union[Sequence[str], dict] = (),
        templates: Union[str, Sequence[str], None] = None,
        backbone: Optional[dict] = None,
        reparametrize: Optional[dict] = None,
        trainable: Optional[Sequence[str]] = None,
        data_preprocessor: Optional[dict] = None,
        train_cfg: Optional[dict] = None,
        init_cfg: Optional[dict] = None,
    ) -> None:
        names, templates = read_classes(classes, templates)
        parts = SplitCLIP(**clip)
        given = dict(clip=parts)
        super().__init__(
            MODELS.build({'type': 'safe_mm.CLIPTrunk', **(backbone or {})}, default_args=given),
            MODELS.build(neck, default_args=given),
            MODELS.build(head, default_args=dict(given, classes=class_sentences(names, templates))),
            train_cfg=train_cfg,
            data_preprocessor={
                'type': 'safe_mm.CLIPDataPreprocessor',
                'clip': clip,
                **(data_preprocessor or {}),
            },
            init_cfg=init_cfg,
        )
        check_parts(self.neck, self.head)
        self.classes = tuple(names)
        self.runs: Any = None
        self.original = OriginalCLIP(SplitCLIP(**clip)) if self.head.needs_original else None
        own = reparametrize_weights(self, reparametrize) if reparametrize else []
        if trainable is None:
            trainable = own or [
                f'{name}.{pattern}'
                for name in ('backbone', 'neck', 'head')
                for pattern in getattr(self, name).trainable
            ]
        self.trainable = freeze_except(self, trainable)
        self._frozen = frozen_modules(self, trainable)
        self._inside_frozen = {m for outer in self._frozen for m in outer.modules()}

    def train(self, mode: bool = True) -> 'CLIPClassifier':
        """Frozen modules and all BatchNorms stay in eval mode.

        So no statistics drift; a few images could not tell better ones. mmengine's loop calls this
        before each iteration.
        """
        if mode and all(m.training != self._stays_in_eval(m) for m in self.modules()):
            return self
        super().train(mode)
        kept = (m for m in self.modules() if self._stays_in_eval(m))
        for module in kept if mode else ():
            module.training = False
        return self

    def _stays_in_eval(self, module: nn.Module) -> bool:
        return module in self._inside_frozen or isinstance(module, _BatchNorm)

    def merge(self) -> 'CLIPClassifier':
        """Keeps results in place of what they are computed from, for the same predictions.

        Weights of low rank and the like go into those of CLIP, and texts of trained prompts become
        class weights. The model is not to be trained or loaded into afterwards.
        """
        merge_weights(self)
        for part in (self.neck, self.head):
            part.merge()
        self.original = None
        return self

    @property
    def frozen_stage(self) -> str:
        """The last stage whose features training does not change."""
        pools = tuple(f'neck.{name}.' for name in self.neck.poolings)
        if any(name.startswith('backbone.trunk.') for name in self.trainable):
            return 'image'
        if any(name.startswith('backbone.') for name in self.trainable):
            return 'stem'
        return 'dense' if any(name.startswith(pools) for name in self.trainable) else 'pooled'

    @property
    def hyperparameters(self) -> Dict[str, Part]:
        """Names of scalars that a search may change, with their part."""
        return {name: part for part in (self.neck, self.head) for name in part.hyperparameters}

    def forward(
        self,
        inputs: torch.Tensor,
        data_samples: Optional[List[DataSample]] = None,
        mode: str = 'tensor',
        start: str = 'image',
    ):
        """Mmpretrain's modes, from a stage on.

        Args:
            inputs (Tensor): Images, or stored features of a stage.
            data_samples (list[DataSample], optional): Labels of the images.
            mode (str): 'tensor', 'loss' or 'predict'.
            start (str): The stage of ``inputs``. Defaults to 'image'.
        """
        if mode == 'loss' and self.runs is not None:
            return self.runs.loss(self.stem(inputs, start), data_samples, start)
        with parametrize.cached():  # a weight is computed once
            return self._forward(inputs, data_samples, mode, start)

    def _forward(
        self, inputs: torch.Tensor, data_samples: Optional[List[DataSample]], mode: str, start: str
    ):
        if mode == 'predict':
            return self.predict(inputs, data_samples, start)
        features = self.neck.combine(self.pool(inputs, start))
        if mode == 'loss':
            unchanged = [] if self.original is None else [self.original(inputs, start)]
            return losses(self.neck, self.head, (*unchanged, features), data_samples)
        return self.head((features,))

    def extractor(self, stage: str) -> Extractor:
        """Images -> features of a frozen stage, as a module."""
        if stage == 'stem':
            return Extractor(self.backbone.trunk)
        return Extractor(self.backbone, self.neck if stage == 'pooled' else None)

    def stem(self, inputs: torch.Tensor, start: str = 'image') -> torch.Tensor:
        """Images -> features before trained blocks; others pass as they are.

        Without trained blocks, these are the dense features.
        """
        return self.backbone.trunk(inputs) if start == 'image' else inputs

    def dense(self, inputs: torch.Tensor, start: str = 'image') -> torch.Tensor:
        """From a stage to dense features; later ones pass as they are."""
        if start == 'stem':
            return self.backbone.tuned(inputs)
        return self.backbone(inputs)[-1] if start == 'image' else inputs

    def pool(self, inputs: torch.Tensor, start: str = 'image') -> torch.Tensor:
        """From a stage to pooled features, shape (branches, B, D)."""
        if start == 'pooled':
            return inputs.transpose(0, 1)
        return self.neck.pool(self.dense(inputs, start))

    def predict(
        self,
        inputs: torch.Tensor,
        data_samples: Optional[List[DataSample]] = None,
        start: str = 'image',
    ) -> List[DataSample]:
        """Predictions, with those of the neck's ``figures`` beside them.

        Returns:
            list[DataSample]: With ``figures``, name -> predicted label by the text classifier
            alone, if the head has one.
        """
        branches = self.pool(inputs, start)
        samples = self.head.predict((self.neck.combine(branches),), data_samples)
        found = {}
        for name, features in self.neck.figures(branches).items():
            logits = self.head.text_logits(features)
            if logits is not None:
                found[name] = mask_classes(logits, samples).argmax(-1).tolist()
        for number, sample in enumerate(samples):
            sample.set_field({name: labels[number] for name, labels in found.items()}, 'figures')
        return samples

    def for_new_classes(self, trained: Dict[str, torch.Tensor]) -> Dict[str, torch.Tensor]:
        """A state dict of a model of other classes, with what belongs to them from this one.

        Raises:
            InputError: The head cannot predict other classes.
        """
        self.head.check_predicts_new_classes()
        own = {f'head.{name}': getattr(self.head, name) for name in self.head.from_names}
        return {key: own.get(key, value) for key, value in trained.items()}

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        """Refuses what is of another model."""
        own = {**dict(self.named_parameters()), **dict(self.named_buffers())}

        def fits(name: str, value: torch.Tensor) -> bool:
            if name.split('.')[-1] in ('keys', 'labels', 'frozen_sha256'):
                return True  # of any size
            return name in own and (not own[name].numel() or own[name].shape == value.shape)

        wrong = [
            key
            for key, value in state_dict.items()
            if key.startswith(prefix) and not fits(key[len(prefix) :], value)
        ]
        if wrong:
            raise InputError(
                f'the checkpoint does not fit the model: {wrong[0]} and {len(wrong) - 1} more '
                'tensors differ. Use the config in its work dir, or the same --clip.'
            )
        super()._load_from_state_dict(state_dict, prefix, *args)
