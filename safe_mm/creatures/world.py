"""The world of creatures on disk: few-shot tasks, and captioned pictures."""

import json
import os
import random
import shutil
import tempfile
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Callable, Dict, List, Sequence, Tuple

import numpy as np
import torch
from mmengine.logging import print_log
from PIL import Image
from tqdm import tqdm

from . import anatomy
from .captions import caption
from .draw import GROUNDS, KNOWN_GROUNDS, NEW_GROUNDS, Picture, draw

# Of the pictures: part of the name of the folder
PAIRS_VERSION = 2
TASKS_VERSION = 3
# A task's classes differ in this part alone
TASKS = ('ears', 'tail', 'crest', 'pattern')
COUNTS = dict(train=32, val=16, test=50)  # images a class
# variant: grounds and rendering of its test images
VARIANTS = dict(
    seen=(GROUNDS, 'color'), grounds=(NEW_GROUNDS, 'color'), rendering=(GROUNDS, 'negative')
)
CAPTIONS = 8  # for each picture


def build_task(root: Path, task: str, seed: int) -> Path:
    """Draws the pictures of a task, unless they are there already.

    The folder then holds ``images`` and ``masks`` (PNG), a split file ``{variant}.json`` for each
    of ``VARIANTS``, and ``index.json`` with the attributes, captions and keypoints of each image.

    Args:
        root (Path): Where to keep the world.
        task (str): One of ``TASKS``.
        seed (int): Another seed is another set of pictures.

    Returns:
        Path: The folder of the task.
    """
    return _once(root, TASKS_VERSION, seed, task, partial(_build_task, task=task, seed=seed))


def build_pairs(root: Path, count: int, seed: int) -> Path:
    """Draws pictures with captions to pretrain on, unless they are there.

    They are other pictures than those of any task, on ``KNOWN_GROUNDS`` of any colour: as with
    CLIP, what is learned from is more varied than any task, and has not got the tasks' own
    surroundings. The folder then holds ``images`` and ``index.json``.

    Args:
        root (Path): Where to keep the world.
        count (int): How many pictures.
        seed (int): Another seed is another set of pictures.

    Returns:
        Path: The folder of the pictures.
    """
    return _once(
        root, PAIRS_VERSION, seed, f'pairs{count}', partial(_build_pairs, count=count, seed=seed)
    )


def _once(root: Path, version: int, seed: int, name: str, build: Callable) -> Path:
    """The folder of that name, built whole or not at all."""
    folder = root / f'creatures-v{version}' / f'seed{seed}' / name
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f'{name}-', dir=folder.parent))
    try:
        build(draft)
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
    return [
        (variant, part, kind, number)
        for variant, part in parts
        for kind in anatomy.KINDS[task]
        for number in range(COUNTS[part])
    ]


def file_name(variant: str, part: str, kind: str, number: int) -> str:
    return f'{part}_{variant}_{kind}_{number:03}.png'


def _build_task(folder: Path, task: str, seed: int) -> None:
    for name in ('images', 'masks'):
        (folder / name).mkdir()
    names = items(task)
    notes = _draw_all(names, partial(_task_picture, folder, task, seed))
    index = dict(zip((file_name(*item) for item in names), notes))
    (folder / 'index.json').write_text(json.dumps(index))
    for variant in VARIANTS:
        split: Dict[str, list] = {part: [] for part in COUNTS}
        for item in names:
            if item[0] == variant or item[1] != 'test':
                label = anatomy.KINDS[task].index(item[2])
                split[item[1]].append([file_name(*item), label, item[2]])
        (folder / f'{variant}.json').write_text(json.dumps(split))


def _build_pairs(folder: Path, count: int, seed: int) -> None:
    (folder / 'images').mkdir()
    notes = _draw_all(range(count), partial(_pairs_picture, folder, seed))
    index = {f'{number:06}.png': note for number, note in enumerate(notes)}
    (folder / 'index.json').write_text(json.dumps(index))


def _draw_all(items: Sequence, draw_one: Callable) -> List[dict]:
    print_log(f'Drawing {len(items)} pictures, once', 'current')
    workers = torch.get_num_threads()  # fewer where cores are shared
    with ProcessPoolExecutor(workers) as pool:
        notes = pool.map(draw_one, items, chunksize=16)
        return list(tqdm(notes, 'creatures', len(items)))


def _task_picture(folder: Path, task: str, seed: int, item: Tuple[str, str, str, int]) -> dict:
    """Draws and saves one picture; returns what the index says of it."""
    variant, part, kind, _ = item
    rng = random.Random(f'{TASKS_VERSION}/{seed}/{task}/{item}')
    grounds, rendering = VARIANTS[variant]
    attributes = {**_attributes(rng), task: kind}
    ground = rng.choice(grounds)
    picture = draw(attributes, ground, rng, rendering)
    for sub, pixels in (('images', picture.image), ('masks', picture.parts)):
        _save(pixels, folder / sub / file_name(*item))
    return _note(picture, attributes, ground, rng)


def _pairs_picture(folder: Path, seed: int, number: int) -> dict:
    """Draws and saves one picture; returns what the index says of it."""
    rng = random.Random(f'{PAIRS_VERSION}/{seed}/pairs/{number}')
    attributes, ground = _attributes(rng), rng.choice(KNOWN_GROUNDS)
    red, green, blue = (rng.randrange(30, 230) for _ in range(3))
    picture = draw(attributes, ground, rng, ground_color=(red, green, blue))
    _save(picture.image, folder / 'images' / f'{number:06}.png')
    return _note(picture, attributes, ground, rng)


def _attributes(rng: random.Random) -> Dict[str, str]:
    return {name: rng.choice(kinds) for name, kinds in anatomy.KINDS.items()}


def _note(picture: Picture, attributes: Dict[str, str], ground: str, rng: random.Random) -> dict:
    return dict(
        attributes=attributes,
        ground=ground,
        captions=[caption(attributes, ground, rng) for _ in range(CAPTIONS)],
        keypoints=picture.keypoints,
    )


def _save(pixels: np.ndarray, path: Path) -> None:
    Image.fromarray(pixels).save(path, compress_level=1)
