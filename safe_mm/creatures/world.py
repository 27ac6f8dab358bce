"""Tasks of few-shot learning in the world of creatures, built on disk."""
import json
import os
import random
import shutil
import tempfile
from functools import partial
from pathlib import Path
from typing import Dict, List, Tuple

import torch
from mmengine.logging import print_log
from mmengine.utils import track_parallel_progress
from PIL import Image

from . import anatomy
from .captions import caption
from .draw import GROUNDS, NEW_GROUNDS, draw

VERSION = 1  # of the pictures: part of the name of the folder
TASKS = ('ears', 'tail', 'pattern')  # classes differ in this part alone
COUNTS = dict(train=32, val=16, test=50)  # images a class
# variant: grounds and rendering of its test images
VARIANTS = dict(
    seen=(GROUNDS, 'color'),
    grounds=(NEW_GROUNDS, 'color'),
    rendering=(GROUNDS, 'negative'))
CAPTIONS = 4  # for each picture


def build_task(root: Path, task: str, seed: int) -> Path:
    """Draws the pictures of a task, unless they are there already.

    The folder then holds ``images`` and ``masks`` (PNG), a split file
    ``{variant}.json`` for each of ``VARIANTS``, and ``index.json`` with the
    attributes, captions and keypoints of each image.

    Args:
        root (Path): Where to keep the world.
        task (str): One of ``TASKS``.
        seed (int): Another seed is another set of pictures.

    Returns:
        Path: The folder of the task.
    """
    folder = root / f'creatures-v{VERSION}' / f'seed{seed}' / task
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f'{task}-', dir=folder.parent))
    try:
        _build(draft, task, seed)
        draft.chmod(folder.parent.stat().st_mode)  # others may read it too
        os.rename(draft, folder)
    except OSError:
        if not folder.is_dir():  # not because another process was faster
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return folder


def items(task: str) -> List[Tuple[str, str, str, int]]:
    """(variant, part, class, number) of each picture of a task."""
    parts = [('seen', 'train'), ('seen', 'val')]
    parts += [(variant, 'test') for variant in VARIANTS]
    return [(variant, part, kind, number) for variant, part in parts
            for kind in anatomy.KINDS[task] for number in range(COUNTS[part])]


def file_name(variant: str, part: str, kind: str, number: int) -> str:
    return f'{part}_{variant}_{kind}_{number:03}.png'


def _build(folder: Path, task: str, seed: int) -> None:
    for name in ('images', 'masks'):
        (folder / name).mkdir()
    names = items(task)
    print_log(f'Drawing {len(names)} pictures of creatures for the task '
              f'{task!r}, once', 'current')
    notes = track_parallel_progress(
        partial(save_picture, folder, task, seed),
        names,
        nproc=torch.get_num_threads(),  # fewer where processes share cores
        chunksize=16)
    index = dict(zip((file_name(*item) for item in names), notes))
    (folder / 'index.json').write_text(json.dumps(index))
    for variant in VARIANTS:
        split: Dict[str, list] = {part: [] for part in COUNTS}
        for item in names:
            if item[0] == variant or item[1] != 'test':
                label = anatomy.KINDS[task].index(item[2])
                split[item[1]].append([file_name(*item), label, item[2]])
        (folder / f'{variant}.json').write_text(json.dumps(split))


def save_picture(folder: Path, task: str, seed: int,
                 item: Tuple[str, str, str, int]) -> dict:
    """Draws and saves one picture; returns what the index says of it."""
    variant, part, kind, _ = item
    rng = random.Random(f'{VERSION}/{seed}/{task}/{item}')
    grounds, rendering = VARIANTS[variant]
    attributes = {k: rng.choice(v) for k, v in anatomy.KINDS.items()}
    attributes[task] = kind
    ground = rng.choice(grounds)
    picture = draw(attributes, ground, rng, rendering)
    name = file_name(*item)
    for sub, pixels in (('images', picture.image), ('masks', picture.parts)):
        Image.fromarray(pixels).save(folder / sub / name, compress_level=1)
    return dict(
        attributes=attributes,
        ground=ground,
        captions=[caption(attributes, ground, rng) for _ in range(CAPTIONS)],
        keypoints=picture.keypoints)
