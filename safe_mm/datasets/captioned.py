"""Photos with captions, to pretrain a CLIP on."""

import csv
import random
from collections import defaultdict
from pathlib import Path
from typing import Dict, List, Optional, Sequence

from mmpretrain.datasets import BaseDataset

from ..errors import InputError
from ..photos import SUFFIXES
from ..registry import DATASETS

HELD_OUT = ('without', 'only')
SHARE = 0.1  # of the captioned photos


@DATASETS.register_module()
class CaptionedPhotos(BaseDataset):
    """All photos below a folder. Each sample has ``captions``, perhaps none.

    Args:
        data_root (str): Folder of the photos, at any depth.
        ann_file (str): CSV file below ``data_root`` with the header ``image,caption`` and a line
            for each caption. ``image`` is the name of a photo's file. Defaults to 'captions.csv'.
        held_out (str, optional): A tenth of the captioned photos is held out: 'without' is the rest
            and all photos without captions, 'only' the tenth. None is all. Defaults to None.
        mirror (bool): Whether photos come a second time, flipped by
            :class:`safe_mm.datasets.CLIPCrop`. Defaults to False.
        repeats (int): How often photos without captions come, where they are few; a feature cache
            stores them as often. Defaults to 1.
        pipeline (Sequence): Transforms. Defaults to an empty tuple.

    Raises:
        InputError: An option is wrong, no captions file, another header, or no photo has a caption.
    """

    def __init__(
        self,
        data_root: str,
        ann_file: str = 'captions.csv',
        held_out: Optional[str] = None,
        mirror: bool = False,
        repeats: int = 1,
        pipeline: Sequence = (),
    ) -> None:
        if held_out not in (None, *HELD_OUT):
            raise InputError(f'held_out={held_out!r} should be one of {HELD_OUT}, or None.')
        if repeats < 1:
            raise InputError(f'repeats={repeats} should be at least 1.')
        self.held_out, self.mirror, self.repeats = held_out, mirror, repeats
        root = str(Path(data_root).expanduser())
        super().__init__(ann_file=ann_file, data_root=root, pipeline=pipeline)

    def load_data_list(self) -> List[dict]:
        """Reads captions and finds the photos."""
        captions = read_captions(Path(self.ann_file))
        files = (f for f in Path(self.data_root).rglob('*') if f.suffix.lower() in SUFFIXES)
        photos = sorted(files, key=lambda file: file.name)
        captioned = [file for file in photos if file.name in captions]
        if not captioned:
            raise InputError(
                f'none of the {len(photos)} photos below {self.data_root} has a caption in '
                f'{self.ann_file}. Check data_root.'
            )
        if self.held_out:
            tenth = set(random.Random(0).sample(captioned, round(SHARE * len(captioned))))
            photos = [file for file in photos if (file in tenth) == (self.held_out == 'only')]
        return [
            dict(img_path=str(file), captions=captions.get(file.name, []), mirror=mirror)
            for mirror in ((False, True) if self.mirror else (False,))
            for file in photos
            for _ in range(1 if file.name in captions else self.repeats)
        ]


def read_captions(path: Path) -> Dict[str, List[str]]:
    """Name of a photo -> its captions.

    Raises:
        InputError: No such file, or another header.
    """
    captions = defaultdict(list)
    try:
        with open(path, newline='', encoding='utf-8-sig') as file:
            lines = csv.reader(file)
            header = next(lines, [])
            for image, caption in (line for line in lines if line):
                captions[image].append(caption.strip())
    except (OSError, ValueError) as error:
        raise InputError(
            f'{path} cannot be read as lines of image,caption: {error}. A caption with a comma '
            'should be in double quotes.'
        ) from None
    if header != ['image', 'caption']:
        raise InputError(f'{path} should begin with the line image,caption, not {header}.')
    return dict(captions)
