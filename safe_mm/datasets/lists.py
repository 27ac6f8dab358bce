"""Datasets by their kind of annotations, and those with lists of their own."""

from pathlib import Path
from typing import Dict, List, Sequence, Tuple

from ..errors import InputError, warn_once
from .splits import (
    PARTS,
    Item,
    Split,
    class_names,
    images_in,
    read_folders,
    read_split,
    repeated_images,
)

IMAGENET_SPLIT = 'split_ImageNet.json'


def read_data(source: Path, folder: Path) -> Tuple[Split, Sequence[str]]:
    """Reads the whole split of a dataset, by its kind of annotations.

    Args:
        source (Path): A split file, ``classnames.txt`` of ImageNet or ``variants.txt`` of
            FGVC-Aircraft. Without any, the image folder.
        folder (Path): The image folder.

    Returns:
        tuple: The split, and the names of all classes.

    Raises:
        InputError: A file is missing or damaged, or there are no images.
    """
    if source.name == 'classnames.txt':
        return read_imagenet(source, folder)
    if source.name == 'variants.txt':
        split = read_aircraft(source)
    elif source == folder:
        split = read_folders(folder)
    else:
        split = read_split(source)
    names = class_names(split, source)
    for line in repeated_images(split):
        warn_once(f'{source}: {line}')
    return split, names


def read_lines(path: Path) -> List[str]:
    """Lines of a text file, without empty ones and a byte-order mark.

    Raises:
        InputError: No such file, or nothing in it.
    """
    try:
        lines = path.read_text(encoding='utf-8-sig').splitlines()
    except (OSError, ValueError) as error:
        raise InputError(f'the list {path} cannot be read: {error}. Check --data-root.') from None
    lines = [line.strip() for line in lines if line.strip()]
    if not lines:
        raise InputError(f'the list {path} is empty.')
    return lines


def read_aircraft(variants: Path) -> Split:
    """FGVC-Aircraft: ``variants.txt`` names the classes in order, and
    ``images_variant_{train,val,test}.txt`` beside it have a line ``IMAGE VARIANT`` for each image.

    Raises:
        InputError: A list is missing, or has a variant without a name.
    """
    labels = {name: i for i, name in enumerate(read_lines(variants))}
    split: Split = {}
    for part in PARTS:
        path = variants.with_name(f'images_variant_{part}.txt')
        split[part] = []
        for line in read_lines(path):
            image, _, name = line.partition(' ')
            if name not in labels:
                raise InputError(f'{path}: the variant {name!r} is not in {variants}.')
            split[part].append((f'{image}.jpg', labels[name], name))
    return split


def read_imagenet(classnames: Path, folder: Path) -> Tuple[Split, List[str]]:
    """ImageNet: ``classnames.txt`` has a line ``WNID NAME`` for each class.

    Classes are in the order of their WNIDs; two of the published names are shared by two classes.
    ``val/WNID/*`` is the test data, as in all published work. ``train/WNID/*`` is divided into
    train and val by the published ``split_ImageNet.json`` beside the list. Without that file, all
    of it is for training, and images to validate on are taken from what a few-shot sample left, see
    :func:`safe_mm.datasets.splits.few_shot`. A variant of ImageNet is test data alone, in folders
    ``WNID`` or ``LABEL``; it may lack classes.

    Args:
        classnames (Path): The list.
        folder (Path): With the folders ``train`` and ``val``, or of a variant.

    Returns:
        tuple: The split and the names of all classes.

    Raises:
        InputError: A file is missing or damaged, or there are no images where they should be.
    """
    names = _read_wnids(classnames)
    folders = dict(train='train', test='val')
    parts = {part: name for part, name in folders.items() if (folder / name).is_dir()}
    parts = parts or dict(test='')
    divided = 'train' in parts and has_imagenet_split(classnames)
    split = _divide_train(classnames.with_name(IMAGENET_SPLIT), names) if divided else {}
    for part, name in parts.items():
        if part not in split:
            split[part] = _class_folders(folder, name, names)
    return split, list(names.values())


def has_imagenet_split(source: Path) -> bool:
    """Whether the published split lies beside a list of ImageNet's classes."""
    return source.name == 'classnames.txt' and source.with_name(IMAGENET_SPLIT).is_file()


def _read_wnids(classnames: Path) -> Dict[str, str]:
    """WNID -> class name, in the order of the labels."""
    names = {}
    for line in read_lines(classnames):
        wnid, _, name = line.partition(' ')
        if not name:
            raise InputError(f'{classnames}: the line {line!r} should be "WNID NAME".')
        names[wnid] = name.strip()
    return dict(sorted(names.items()))


def _divide_train(path: Path, names: Dict[str, str]) -> Split:
    """Train and val of the published split of ImageNet.

    Its test part is not read: it lists the folder ``val``.
    """
    labels = {wnid: label for label, wnid in enumerate(names)}
    published = read_split(path)
    split: Split = {}
    for part in ('train', 'val'):
        split[part] = []
        for image, label, _ in published.get(part, []):
            folder, _, rest = image.partition('/')
            wnid = rest.partition('/')[0]
            if folder != 'train' or labels.get(wnid) != label:
                raise InputError(
                    f'{path}: {image} has the label {label} in {part}. Expected are images '
                    'train/WNID/NAME, labelled in the order of the WNIDs of classnames.txt.'
                )
            split[part].append((image, label, names[wnid]))
    return split


def _class_folders(folder: Path, part: str, names: Dict[str, str]) -> List[Item]:
    """Images in folders of a class each, in the order of the labels."""
    items: List[Item] = []
    for label, (wnid, name) in enumerate(names.items()):
        for place in (Path(part, wnid), Path(part, str(label))):
            items += [(path, label, name) for path in images_in(folder, place)]
    if not items:
        raise InputError(
            f'{folder / part} has no folders of images named {next(iter(names))} and so on.'
        )
    return items
