"""Few-shot tasks among drawn creatures."""

import json
from functools import cached_property
from pathlib import Path
from typing import Dict, Optional, Sequence, Tuple

import numpy as np
from PIL import Image

from ..creatures.captions import TEMPLATES
from ..creatures.draw import PARTS
from ..creatures.world import TASKS, VARIANTS, build_task
from ..errors import InputError
from ..registry import DATASETS
from .few_shot import FewShotDataset


@DATASETS.register_module()
class CreatureDataset(FewShotDataset):
    """Drawn creatures; the classes of a task differ in one part alone.

    The pictures are drawn on first use and kept; nothing is downloaded.

    Args:
        task (str): 'ears' (10 classes), 'tail', 'crest' or 'pattern' (8).
        split (str): 'train', 'val' or 'test'. Defaults to 'test'.
        variant (str): Of the test pictures: 'seen', with the grounds of the training pictures;
            'grounds', with new ones; 'rendering', grey with dark and light exchanged. Defaults to
            'seen'.
        shots (int, optional): See :class:`FewShotDataset`. Defaults to None.
        seed (int): Of the few-shot sample. Defaults to 1.
        subset (str, optional): See :class:`FewShotDataset`. Defaults to None.
        world_seed (int): Of the pictures. Defaults to 0.
        data_root (str): Where to keep the pictures. Defaults to '~/.cache/safe_mm'.
        mirror (bool): See :class:`FewShotDataset`. Defaults to False.
        views (int, optional): See the same. Defaults to None.
        pipeline (Sequence): Transforms. Defaults to an empty tuple.
        lazy_init (bool): See :class:`FewShotDataset`. Defaults to False.

    Attributes:
        folder (Path): Holds the pictures, masks of their parts, captions and keypoints, see
            :func:`safe_mm.creatures.world.build_task`.

    Raises:
        InputError: No such task or variant.
    """

    METAINFO = dict(
        part_masks=True,
        keypoints=True,
        larger_parts=dict(eye='head', pattern='body'),  # small part -> the one it belongs to
    )

    def __init__(
        self,
        task: str,
        split: str = 'test',
        variant: str = 'seen',
        shots: Optional[int] = None,
        seed: int = 1,
        subset: Optional[str] = None,
        world_seed: int = 0,
        data_root: str = '~/.cache/safe_mm',
        mirror: bool = False,
        views: Optional[int] = None,
        pipeline: Sequence = (),
        lazy_init: bool = False,
    ) -> None:
        if task not in TASKS:
            raise InputError(f'task={task!r} should be one of {TASKS}.')
        if variant not in VARIANTS:
            raise InputError(f'variant={variant!r} should be one of {tuple(VARIANTS)}.')
        root = Path(data_root).expanduser()
        self.folder = build_task(root, task, world_seed)
        super().__init__(
            split=split,
            shots=shots,
            seed=seed,
            subset=subset,
            data_root=str(self.folder),
            data_prefix='images',
            ann_file=f'{variant}.json',
            mirror=mirror,
            views=views,
            templates=TEMPLATES[task],
            pipeline=pipeline,
            lazy_init=lazy_init,
        )
        self.task = task
        self._metainfo['class_part'] = task

    def part_mask(self, index: int) -> np.ndarray:
        """True on the part that tells the class, bool, shape (H, W)."""
        return self._parts(index) == PARTS.index(self.task)

    def masks(self, index: int) -> Dict[str, np.ndarray]:
        """Part -> where it shows, bool, shape (H, W); the ground is one of the parts."""
        own = self._parts(index)
        return {name: own == number for number, name in enumerate(PARTS) if (own == number).any()}

    def keypoints(self, index: int) -> Dict[str, Tuple[float, float]]:
        """Part -> (x, y) where it is rooted, in pixels, see :func:`safe_mm.creatures.draw`."""
        points = self._index[self._file_name(index)]['keypoints']
        return {name: (x, y) for name, (x, y) in points.items()}

    def _file_name(self, index: int) -> str:
        return Path(self.get_data_info(index)['img_path']).name

    def _parts(self, index: int) -> np.ndarray:
        with Image.open(self.folder / 'masks' / self._file_name(index)) as mask:
            return np.array(mask)

    @cached_property
    def _index(self) -> Dict[str, dict]:
        return dict(json.loads((self.folder / 'index.json').read_text()))
