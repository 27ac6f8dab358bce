"""The classifier whose weights are text features (SAFE, Eq. 1 and 4)."""
from typing import Callable, Dict, List, Optional, Sequence, Tuple, Union

import torch
from mmpretrain.models.heads import ClsHead
from mmpretrain.structures import DataSample
from torch.nn import functional as F

from ..clip import split_clip
from ..errors import InputError
from ..prompts import class_prompts
from ..registry import MODELS


def text_class_weights(prompts: List[List[str]],
                       encode: Callable) -> torch.Tensor:
    """W_c: one text feature for each class.

    Args:
        prompts (list[list[str]]): Sentences of each class.
        encode (Callable): Sentences -> text features of unit length, shape
            (number of sentences, C).

    Returns:
        Tensor: Shape (N, C); each row the mean of its class's text features,
        normalised again.
    """
    features = encode([text for texts in prompts for text in texts])
    means = [f.mean(0) for f in features.split([len(t) for t in prompts])]
    return F.normalize(torch.stack(means), dim=-1)


def text_logits(features: torch.Tensor, class_weights: torch.Tensor,
                logit_scale: torch.Tensor) -> torch.Tensor:
    """Logits of Eq. 4: logit_scale * normalize(F) W_c^T.

    Args:
        features (Tensor): Pooled features, shape (B, C).
        class_weights (Tensor): W_c, rows of unit length, shape (N, C).
        logit_scale (Tensor): CLIP's inverse temperature, a scalar.

    Returns:
        Tensor: Shape (B, N).
    """
    return logit_scale * F.normalize(features, dim=-1) @ class_weights.T


@MODELS.register_module()
class TextClsHead(ClsHead):
    """Classifies pooled features by their similarity to class texts.

    The class names, and with them W_c, come from ``classes``, from the
    dataset (by :class:`safe_mm.engine.ClassNamesHook`) or from a checkpoint,
    which keeps both W_c and the logit scale.

    Args:
        clip (dict): ``model_name`` and ``pretrained``, see
            :func:`safe_mm.clip.split_clip`.
        templates (str | Sequence[str]): See
            :func:`safe_mm.prompts.class_prompts`. If None, the dataset's,
            or else ``'a photo of a {}.'``. Defaults to None.
        classes (Sequence[str], optional): Class names. Defaults to None.
        loss (dict): Config of the loss. Defaults to cross-entropy.
        topk (int | tuple[int]): For accuracy while training, if ``cal_acc``.
            Defaults to (1, ).
        cal_acc (bool): Whether to log accuracy while training.
            Defaults to False.
        init_cfg (dict, optional): mmengine's initialization config.
            Defaults to None.

    Attributes:
        class_weights (Tensor): W_c, shape (N, C); N is 0 until it is built.
        logit_scale (Tensor): CLIP's inverse temperature.
        classes (tuple[str]): Class names; empty until they are known.
        among (Sequence[int], optional): Labels to predict among, for test
            data with fewer classes.
    """

    def __init__(self,
                 clip: dict,
                 templates: Union[str, Sequence[str], None] = None,
                 classes: Optional[Sequence[str]] = None,
                 loss: dict = dict(type='CrossEntropyLoss', loss_weight=1.0),
                 topk: Union[int, Tuple[int]] = (1, ),
                 cal_acc: bool = False,
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(
            loss=loss, topk=topk, cal_acc=cal_acc, init_cfg=init_cfg)
        self.clip = dict(clip)
        self.templates = templates
        self.classes = tuple(classes or ())
        self.among: Optional[Sequence[int]] = None
        split = split_clip(**clip)
        self.register_buffer('logit_scale', torch.tensor(split.logit_scale))
        self.register_buffer('class_weights', torch.empty(0, split.embed_dim))
        if self.classes:
            self.build_class_weights()

    def set_classes(self,
                    classes: Sequence[str],
                    templates: Union[str, Sequence[str], None] = None) -> None:
        """Takes a dataset's class names, and builds W_c if there is none.

        Args:
            classes (Sequence[str]): Class names, in the order of the labels.
            templates (str | Sequence[str], optional): The dataset's
                templates, used if the head was not given any.

        Raises:
            InputError: The head, or the checkpoint loaded into it, is for
                other classes.
        """
        weights = len(self.class_weights)
        if weights and weights != len(classes):
            raise InputError(
                f'the dataset has {len(classes)} classes, but the classifier '
                f'{weights}: they do not belong together. Check the split '
                'file, head.classes in the config, and the checkpoint.')
        if not weights:
            self.classes = tuple(classes)
            self.templates = self.templates or templates
            self.build_class_weights()

    def build_class_weights(self) -> None:
        """Encodes the class names' prompts and drops the text encoder."""
        prompts = class_prompts(self.classes, self.templates
                                or 'a photo of a {}.')
        split, device = split_clip(**self.clip), self.class_weights.device
        self.class_weights = text_class_weights(
            prompts, lambda texts: split.encode_text(texts, device)).to(device)
        split.release_text_encoder()

    def predict(self, feats: Tuple[torch.Tensor],
                data_samples: Optional[List[DataSample]] = None
                ) -> List[DataSample]:
        """mmpretrain's, among the classes that the data has."""
        return self._get_predictions(
            self.choose(self(feats)), data_samples)

    def choose(self, logits: torch.Tensor) -> torch.Tensor:
        """Leaves out the classes that the test data lacks, if it says so."""
        if self.among is None:
            return logits
        chosen = torch.full_like(logits, -torch.inf)
        chosen[:, self.among] = logits[:, self.among]
        return chosen

    def forward(self, feats: Tuple[torch.Tensor]) -> torch.Tensor:
        """Pooled features, a tuple of (B, C) -> logits, shape (B, N)."""
        if not len(self.class_weights):
            raise InputError(
                'the classifier has no class names yet. Give head.classes, '
                'load a checkpoint, or add the hook safe_mm.ClassNamesHook.')
        return text_logits(
            self.pre_logits(feats), self.class_weights, self.logit_scale)

    def loss(self, feats: Tuple[torch.Tensor],
             data_samples: List[DataSample]) -> Dict[str, torch.Tensor]:
        """Loss of a batch, or one for each run side by side.

        Args:
            feats (tuple[Tensor]): Pooled features, shape (B, C), or
                (S * R, B, C) of R runs for each of S seeds.
            data_samples (list[DataSample]): With labels; B, or S * B.
        """
        logits = self(feats)
        if logits.dim() == 2:
            return self._get_loss(logits, data_samples)
        size = logits.shape[1]
        runs_of_a_seed = len(logits) * size // len(data_samples)
        losses = {}
        for run, own in enumerate(logits):
            first = run // runs_of_a_seed * size
            samples = data_samples[first:first + size]
            losses[f'loss_{run}'] = self._get_loss(own, samples)['loss']
        return losses

    def _load_from_state_dict(self, state_dict: dict, prefix: str,
                              *args) -> None:
        """Makes room for the classes of the checkpoint."""
        loaded = state_dict.get(prefix + 'class_weights')
        if loaded is not None and not len(self.class_weights):
            self.class_weights = torch.empty_like(
                loaded, device=self.class_weights.device)
            split_clip(**self.clip).release_text_encoder()
        super()._load_from_state_dict(state_dict, prefix, *args)
