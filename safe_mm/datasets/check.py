"""Whether all of a data set is there: counts, and every image decoded."""

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Tuple

from PIL import Image
from tqdm import tqdm

from ..config import dataset_base
from .catalog import CATALOG
from .lists import read_data
from .splits import PARTS, Split, labels_of

CHUNK = 64  # images a worker takes at a time
SHOWN = 10  # faults of a kind that are named; of the others only the number


@dataclass
class Faults:
    """How many images have a fault, and the first of them with the reason."""

    count: int = 0
    first: List[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        self.count += 1
        if len(self.first) < SHOWN:
            self.first.append(text)


class Report(NamedTuple):
    """What a check found.

    Attributes:
        counts (dict): Of 'classes' and of the images of each part: the number here and the
            published one.
        faults (dict): :class:`Faults` of 'missing' and 'unreadable' images.
    """

    counts: Dict[str, Tuple[int, int]]
    faults: Dict[str, Faults]

    def all_right(self) -> bool:
        return all(here == published for here, published in self.counts.values()) and not any(
            faults.count for faults in self.faults.values()
        )


def check_data(name: str, root: Path) -> Report:
    """Compares a data set with its published size and decodes its images.

    Args:
        name (str): Of the catalog.
        root (Path): The folder that holds the folders of the data sets.

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
    data = CATALOG[name]
    counts = {'classes': (len(labels_of(split)), data.classes)}
    sizes = data.divided if data.divided and 'val' in split else data.sizes
    for part, published in zip(PARTS, sizes):
        here = len(split.get(part, ()))
        if here or published:
            counts[part] = (here, published)
    return counts


def find_faults(folder: Path, paths: List[str]) -> Dict[str, Faults]:
    """Reads all images, in a process for each core."""
    found = {'missing': Faults(), 'unreadable': Faults()}
    with ProcessPoolExecutor() as pool:
        results = pool.map(partial(fault, folder), paths, chunksize=CHUNK)
        for result in tqdm(results, 'images', len(paths)):
            if result:
                kind, text = result
                found[kind].add(text)
    return found


def fault(folder: Path, path: str) -> Optional[Tuple[str, str]]:
    """The kind of fault of an image and what to say of it, if it has any."""
    try:
        with Image.open(folder / path) as image:
            image.load()  # to the end, so that truncated files are found
    except FileNotFoundError:
        return 'missing', path
    except Exception as error:  # each decoder raises what it likes
        return 'unreadable', f'{path}: {error}'
    return None
