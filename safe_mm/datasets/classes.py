"""Class names and prompts of a dataset, known before it is loaded."""

from collections import Counter
from typing import Dict, List, Mapping, Sequence, Tuple, Union

from ..errors import InputError, counted, warn_once
from ..prompts import class_prompts
from ..registry import DATASETS

Templates = Union[str, Sequence[str], None]


def read_classes(
    classes: Union[Sequence[str], Mapping], templates: Templates = None
) -> Tuple[Sequence[str], Templates]:
    """Class names and templates.

    Args:
        classes (Sequence[str] | dict): Class names, or the config of a dataset, of which only the
            class names are read.
        templates (str | Sequence[str], optional): In place of the dataset's.

    Raises:
        InputError: The dataset cannot be read, or does not name its classes.
    """
    if not isinstance(classes, Mapping):
        return tuple(classes), templates
    dataset = DATASETS.build({**classes, 'lazy_init': True})
    if 'classes' not in dataset.metainfo:
        dataset.full_init()
    if 'classes' not in dataset.metainfo:
        raise InputError(
            f'{classes["type"]} does not name its classes. Set model.classes to a list of names.'
        )
    if templates is None:
        templates = dataset.metainfo.get('templates')
    return dataset.metainfo['classes'], templates


class Sentences(Dict[int, List[str]]):
    """Label -> sentences of the class, with the ``names`` of all classes."""

    names: Sequence[str]


def class_sentences(names: Sequence[str], templates: Templates) -> Sentences:
    """The sentences of each class. Two classes may have one name, as in ImageNet.

    Raises:
        InputError: See :func:`safe_mm.prompts.class_prompts`.
    """
    twice = [name for name, number in Counter(names).items() if number > 1]
    if twice:
        warn_once(
            f'{counted(len(twice), "class name")} used more than once, so that the text classifier '
            f'gives these classes equal logits: {", ".join(twice[:5])}'
        )
    if templates is None:
        templates = 'a photo of a {}.'
    sentences = Sentences(enumerate(class_prompts(names, templates)))
    sentences.names = names
    return sentences
