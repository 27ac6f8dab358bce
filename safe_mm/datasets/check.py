"""Whether images are complete: counts, every image decoded, copies."""

import hashlib
import os
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Callable, Dict, Hashable, Iterable, List, Optional, Sequence, Tuple

from PIL import Image
from tqdm import tqdm

from ..config import dataset_base
from .catalog import CATALOG
from .lists import read_data
from .splits import PARTS, labels_of

CHUNK = 64  # images a worker takes at a time
HEAD = 4096  # bytes that tell most images of equal size apart
Counts = Dict[str, Tuple[int, int]]  # 'classes' and parts -> number found, number published
Faults = Dict[str, List[str]]  # 'missing' and 'unreadable' -> images, with the reason


def check_data(name: str, root: Path) -> Tuple[Counts, Faults]:
    """Compares a dataset of the catalog with its published size and decodes its images.

    Raises:
        InputError: The split cannot be read.
    """
    source, folder = locate(name, root)
    split, _ = read_data(source, folder)
    info = CATALOG[name]
    counts = {'classes': (len(labels_of(split)), info.classes)}
    sizes = info.divided if info.divided and 'val' in split else info.sizes
    for part, published in zip(PARTS, sizes):
        found = len(split.get(part, ()))
        if found or published:
            counts[part] = (found, published)
    paths = [path for part in PARTS for path, _, _ in split.get(part, ())]
    return counts, find_faults(folder, paths)


def locate(name: str, root: Path) -> Tuple[Path, Path]:
    """The split file and the image folder, as the configs have them."""
    imagenet = dataset_base('imagenet_variants')
    if name in imagenet.variants:
        places = {**imagenet.dataset, **imagenet.variants[name]}
    else:
        places = dataset_base(name).dataset
    return root / places['ann_file'], root / places['data_prefix']


def find_faults(folder: Path, paths: Sequence[str]) -> Faults:
    """Decodes all images, in a process for each core."""
    faults: Faults = {'missing': [], 'unreadable': []}
    with ProcessPoolExecutor() as pool:
        results = pool.map(partial(find_fault, folder), paths, chunksize=CHUNK)
        for result in tqdm(results, 'images', len(paths)):
            if result:
                kind, text = result
                faults[kind].append(text)
    return faults


def find_fault(folder: Path, path: str) -> Optional[Tuple[str, str]]:
    """The kind of fault of an image and its description, or None."""
    try:
        with Image.open(folder / path) as image:
            image.load()  # to the end, to find truncated files
    except FileNotFoundError:
        return 'missing', path
    except Exception as error:  # decoders raise many types
        return 'unreadable', f'{path}: {error}'
    return None


def equal_images(paths: Iterable[str]) -> List[List[str]]:
    """Groups of images of equal content. Few are read, since most differ in size."""
    groups = [list(dict.fromkeys(paths))]
    for key in (os.path.getsize, _head, _digest):
        groups = [part for group in groups for part in _groups_by(key, group) if len(part) > 1]
    return groups


def _groups_by(key: Callable[[str], Hashable], paths: List[str]) -> Iterable[List[str]]:
    groups = defaultdict(list)
    for path in paths:
        groups[key(path)].append(path)
    return groups.values()


def _head(path: str) -> bytes:
    with open(path, 'rb') as file:
        return file.read(HEAD)


def _digest(path: str) -> bytes:
    return hashlib.sha256(Path(path).read_bytes()).digest()
