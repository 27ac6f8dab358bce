"""Splits: published split files, folders, few-shot samples.

A split maps 'train', 'val' and 'test' to items (path, label, class name), paths being relative to
the image folder.
"""

import csv
import json
import os
import random
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

from mmpretrain.datasets.custom import find_folders, get_samples

from ..errors import InputError, counted
from ..photos import SUFFIXES

Item = Tuple[str, int, str]
Split = Dict[str, List[Item]]

PARTS = ('train', 'val', 'test')
COLUMNS = ('path', 'label', 'class', 'split')  # of a split file as CSV
SUBSETS = ('base', 'new')
MAX_VAL_SHOTS = 4


def read_split(path: Path) -> Split:
    """Reads a split file.

    Args:
        path (Path): JSON ``{"train" | "val" | "test": [[path, label, class name], ...]}``, as
            published; or CSV with the columns path, label, class and split.

    Raises:
        InputError: Not such a file, or see :func:`class_names`.
    """
    if not path.is_file():
        raise InputError(
            f'the split file {path} does not exist. Check --data-root: it is the folder that holds '
            'the folders of the datasets.'
        )
    try:
        text = path.read_text(encoding='utf-8-sig')
        content = _parse_csv(text) if path.suffix.lower() == '.csv' else json.loads(text)
        split = _as_split(content)
    except ValueError as error:
        raise InputError(
            f'{path} is not a split file: {error}. Expected {{"train": [[path, label, class name], '
            '...], "val": ..., "test": ...}, or a .csv with the columns path,label,class,split.'
        ) from None
    if not split:
        raise InputError(f'{path} is not a split file: it has none of the keys {", ".join(PARTS)}.')
    class_names(split, path)
    return split


def _as_split(content: Any) -> Split:
    if not isinstance(content, dict):
        raise ValueError('it is no object with lists')
    return {part: _items(part, content[part]) for part in PARTS if part in content}


def _items(part: str, content: Any) -> List[Item]:
    for item in content if isinstance(content, list) else [content]:
        if not isinstance(item, list) or len(item) != 3:
            raise ValueError(f'{part} has {item!r}')
    return [(path, label, name) for path, label, name in content]


def _parse_csv(text: str) -> Dict[str, List[list]]:
    """A split as JSON has it."""
    split: Dict[str, List[list]] = {}
    rows = csv.DictReader(text.splitlines())
    for row in rows:
        if not set(COLUMNS) <= set(row) or None in row.values():
            raise ValueError(f'line {rows.line_num} lacks one of the columns {",".join(COLUMNS)}')
        path, label, name, part = (row[column].strip() for column in COLUMNS)
        if part not in PARTS:
            raise ValueError(f'line {rows.line_num} has the split {part!r}')
        number = int(label) if label.isdecimal() else label
        split.setdefault(part, []).append([path, number, name])
    return split


def class_names(split: Split, source: Path) -> Tuple[str, ...]:
    """Class names in the order of their labels.

    Raises:
        InputError: A path or name that is empty or no text, labels that are not the integers 0 to
            N-1, a label with two names, or fewer than two classes.
    """
    names: Dict[int, str] = {}
    if not any(split.values()):
        raise InputError(f'{source} lists no images.')
    for part, items in split.items():
        for path, label, name in items:
            if not isinstance(path, str) or not path.strip():
                raise InputError(f'{source}: an image in {part} has the path {path!r}.')
            if type(label) is not int or label < 0:
                raise InputError(
                    f'{source}: {path} in {part} has the label {label!r}; labels are 0 to N-1.'
                )
            if not isinstance(name, str) or not name.strip():
                raise InputError(
                    f'{source}: {path} in {part} has the class name {name!r}. Write it as text.'
                )
            if names.setdefault(label, name) != name:
                raise InputError(
                    f'{source}: label {label} has the class names {names[label]!r} and '
                    f'{name!r} (in {part}); give it one.'
                )
    missing = [label for label in range(len(names)) if label not in names]
    if missing:
        raise InputError(
            f'{source}: labels go up to {max(names)}, but there is no image of label '
            f'{missing[:5]}; labels must be 0 to N-1.'
        )
    if len(names) < 2:
        raise InputError(f'{source} has one class only, {names[0]!r}; at least two are needed.')
    return tuple(names[label] for label in range(len(names)))


def repeated_images(split: Split) -> List[str]:
    """What would make a result doubtful, one line each: images listed twice."""
    found = []
    paths = {part: Counter(path for path, _, _ in items) for part, items in split.items()}
    for part, counts in paths.items():
        twice = [path for path, count in counts.items() if count > 1]
        if twice:
            found.append(f'{part} lists {counted(len(twice), "image")} more than once: {twice[0]}')
    for one, two in combinations(paths, 2):
        shared = [path for path in paths[one] if path in paths[two]]
        if shared:
            found.append(f'{one} and {two} share {counted(len(shared), "image")}: {shared[0]}')
    return found


def read_folders(root: Path) -> Split:
    """Splits folder-per-class data that comes without a split file.

    Where there is a folder 'train', 'val' or 'test', ``root/{train,val,test}/CLASS/*`` is taken as
    it is. ``root/CLASS/*`` is divided 50 : 20 : 30 within each class, always the same way, so that
    the test images do not depend on the seed of the few-shot sample.

    Raises:
        InputError: No such folder, no images, or a class without any.
    """
    if not root.is_dir():
        raise InputError(
            f'the image folder {root} does not exist. Check --data-root and data_prefix.'
        )
    parts = [part for part in PARTS if (root / part).is_dir()]
    if parts:
        folders = {part: find_folders(str(root / part))[0] for part in parts}
        classes = sorted(set().union(*folders.values()))
        return {part: _folder_items(root, part, folders[part], classes) for part in parts}
    split: Split = {part: [] for part in PARTS}
    classes, _ = find_folders(str(root))
    items = _folder_items(root, '', classes, classes)
    for group in group_by_label(items).values():
        random.Random(0).shuffle(group)
        train, val = len(group) // 2, len(group) * 7 // 10
        split['train'] += group[:train]
        split['val'] += group[train:val]
        split['test'] += group[val:]
    return split


def images_in(root: Path, folder: Path) -> List[str]:
    """Images in ``root/folder`` by name, with paths below ``root``."""
    if not (root / folder).is_dir():
        return []
    return sorted(
        str(folder / name) for name in os.listdir(root / folder) if name.lower().endswith(SUFFIXES)
    )


def _folder_items(root: Path, part: str, folders: List[str], classes: List[str]) -> List[Item]:
    """Images in the folders of a part, with labels among all classes."""
    _check_links(root / part)
    samples, empty = get_samples(
        str(root / part),
        {name: classes.index(name) for name in folders},
        lambda name: name.lower().endswith(SUFFIXES),
    )
    if empty or not samples:
        raise InputError(
            f'{root / part} should hold a folder of images for each class, but '
            f'{", ".join(sorted(empty)) or "it"} has no {", ".join(SUFFIXES)}.'
        )
    return [(str(Path(part, path)), label, classes[label]) for path, label in samples]


def _check_links(folder: Path) -> None:
    """Raises an InputError if a link leads back to a folder above it."""
    for place, names, _ in os.walk(folder, followlinks=True):
        for link in (Path(place, name) for name in names):
            if link.is_symlink() and Path(place).resolve().is_relative_to(link.resolve()):
                raise InputError(
                    f'{link} is a link to {link.resolve()}, which it lies in. Remove the link.'
                )


def group_by_label(items: List[Item]) -> Dict[int, List[Item]]:
    """Items of each label, labels in the order of their first appearance."""
    groups: Dict[int, List[Item]] = {}
    for item in items:
        groups.setdefault(item[1], []).append(item)
    return groups


def labels_of(split: Split) -> List[int]:
    """Labels of which there are images in any part, in order."""
    return sorted({label for items in split.values() for _, label, _ in items})


def subset_labels(count: int, subset: Optional[str]) -> range:
    """Labels of 'base', the first ceil(N / 2) of N classes, of 'new', the rest, or of all."""
    half = -(-count // 2)
    return range(half if subset == 'new' else 0, half if subset == 'base' else count)


def items_of(items: List[Item], labels: range) -> List[Item]:
    """The items of these labels, which then count from 0."""
    return [(path, label - labels.start, name) for path, label, name in items if label in labels]


def few_shot(split: Split, shots: int, seed: int) -> Split:
    """Draws K images a class from train and min(K, 4) from val.

    This is the published procedure, bit for bit: one stream of random numbers serves train and then
    val, so that the seeds 1, 2 and 3 give the published few-shot sets. Classes with fewer images
    give all they have. Data without a val part, as ImageNet, gives images of train that were not
    drawn, so that nothing is ever chosen on test images.

    Args:
        split (dict): A whole split.
        shots (int): K, images a class.
        seed (int): Seed of Python's random numbers.

    Returns:
        dict: The split with the drawn items of train and val, test as it is.
    """
    rng = random.Random(seed)

    def draw(items: List[Item], count: int) -> List[Item]:
        found: List[Item] = []
        for group in group_by_label(items).values():
            found += rng.sample(group, count) if len(group) >= count else group
        return found

    train = draw(split.get('train', []), shots)
    taken = set(train)
    val = split.get('val') or [item for item in split.get('train', []) if item not in taken]
    return dict(split, train=train, val=draw(val, min(shots, MAX_VAL_SHOTS)))
