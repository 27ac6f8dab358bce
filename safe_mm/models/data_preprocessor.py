"""Normalisation as the CLIP in use expects it."""

from typing import Optional

from mmpretrain.models import ClsDataPreprocessor

from ..clip import preprocess_cfg
from ..registry import MODELS


@MODELS.register_module()
class CLIPDataPreprocessor(ClsDataPreprocessor):
    """mmpretrain's preprocessor with open_clip's mean and std for a CLIP.

    Args:
        clip (dict): ``model_name`` and ``pretrained``, see :class:`safe_mm.clip.SplitCLIP`.
        to_rgb (bool): Whether images come as BGR, as mmcv loads them. Defaults to True.
        num_classes (int, optional): For batch augmentations that mix labels. Defaults to None.
        batch_augments (dict, optional): mmpretrain's batch augmentations. Defaults to None.
    """

    def __init__(
        self,
        clip: dict,
        to_rgb: bool = True,
        num_classes: Optional[int] = None,
        batch_augments: Optional[dict] = None,
    ) -> None:
        cfg = preprocess_cfg(**clip)
        super().__init__(
            mean=[255 * value for value in cfg.mean],
            std=[255 * value for value in cfg.std],
            to_rgb=to_rgb,
            num_classes=num_classes,
            batch_augments=batch_augments,
        )

    def forward(self, data: dict, training: bool = False) -> dict:
        """Normalises a batch of images; stored features are only moved.

        Args:
            data (dict): ``inputs``, ``data_samples``, and for stored features ``start``, a list of
                the stage of each.
            training (bool): Whether batch augmentations are applied.
        """
        if 'start' not in data:
            return super().forward(data, training)
        # Training changes no samples, so that they can be those of the batch where nothing moves
        moved = data if training and self.device.type == 'cpu' else self.cast_data(data)
        return dict(moved, inputs=moved['inputs'].float(), start=data['start'][0])
