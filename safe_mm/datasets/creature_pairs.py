"""Drawn creatures with captions."""

import json
from pathlib import Path
from typing import List, Sequence

from mmpretrain.datasets import BaseDataset

from ..creatures.world import build_pairs
from ..registry import DATASETS


@DATASETS.register_module()
class CreaturePairs(BaseDataset):
    """Pictures of creatures with captions, to pretrain a CLIP on.

    Each sample has ``captions``, sentences that mention some of what the picture shows; no labels.
    The pictures are drawn on first use and kept.

    Args:
        count (int): How many pictures. Defaults to 32000.
        world_seed (int): Of the pictures. Defaults to 0.
        data_root (str): Where to keep the pictures. Defaults to '~/.cache/safe_mm'.
        pipeline (Sequence): Transforms. Defaults to an empty tuple.
    """

    def __init__(
        self,
        count: int = 32000,
        world_seed: int = 0,
        data_root: str = '~/.cache/safe_mm',
        pipeline: Sequence = (),
    ) -> None:
        root = Path(data_root).expanduser()
        folder = build_pairs(root, count, world_seed)
        super().__init__(
            ann_file='index.json', data_root=str(folder), data_prefix='images', pipeline=pipeline
        )

    def load_data_list(self) -> List[dict]:
        """Reads which captions belong to which picture."""
        index = json.loads(Path(self.ann_file).read_text())
        folder = Path(self.img_prefix)
        return [
            dict(img_path=str(folder / name), captions=note['captions'])
            for name, note in index.items()
        ]
