"""Whether a dataset is complete: counts, and every image decoded."""

from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from PIL import Image
from tqdm import tqdm

from ..config import dataset_base
from .catalog import CATALOG
from .lists import read_data
from .splits import PARTS, Split, labels_of

CHUNK = 64  # images a worker takes at a time


class Report(NamedTuple):
    """What a check found.

    Attributes:
        counts (dict): 'classes' and the parts -> number found, and number published.
        faults (dict): 'missing' and 'unreadable' -> the images, with the reason.
    """

    counts: Dict[str, Tuple[int, int]]
    faults: Dict[str, List[str]]

    def is_complete(self) -> bool:
        matches = all(found == published for found, published in self.counts.values())
        return matches and not any(self.faults.values())


def check_data(name: str, root: Path) -> Report:
    """Compares a dataset with its published size and decodes its images.

    Args:
        name (str): Of the catalog.
        root (Path): The folder that holds the folders of the datasets.

    Raises:
        InputError: The split cannot be read.
    """
    source, folder = locate(name, root)
    split, _ = read_data(source, folder)
    paths = [path for part in PARTS for path, _, _ in split.get(part, ())]
    return Report(count(name, split), find_faults(folder, paths))


def locate(name: str, root: Path) -> Tuple[Path, Path]:
    """The split file and the image folder, as the configs have them."""
    imagenet = dataset_base('imagenet_variants')
    if name in imagenet.variants:
        places = {**imagenet.dataset, **imagenet.variants[name]}
    else:
        places = dataset_base(name).dataset
    return root / places['ann_file'], root / places['data_prefix']


def count(name: str, split: Split) -> Dict[str, Tuple[int, int]]:
    """Numbers of classes and images, in the split and as published."""
    info = CATALOG[name]
    counts = {'classes': (len(labels_of(split)), info.classes)}
    for part, published in zip(PARTS, info.sizes):
        found = len(split.get(part, ()))
        if found or published:
            counts[part] = (found, published)
    return counts


def find_faults(folder: Path, paths: Sequence[str]) -> Dict[str, List[str]]:
    """Decodes all images, in a process for each core."""
    faults: Dict[str, List[str]] = {'missing': [], 'unreadable': []}
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
