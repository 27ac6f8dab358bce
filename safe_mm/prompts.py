"""Prompts of classes for the text encoder."""

import json
import re
from pathlib import Path
from typing import List, Sequence, Union

import open_clip

from .errors import InputError, counted

# The seven of OpenAI's 80 templates that few-shot work uses for ImageNet; the full sets come from
# open_clip.
OPENAI_IMAGENET_SUB = (
    'itap of a {}.',
    'a bad photo of the {}.',
    'a origami {}.',
    'a photo of the large {}.',
    'a {} in a video game.',
    'art of the {}.',
    'a photo of the small {}.',
)

TEMPLATE_SETS = {
    'openai_imagenet': [template('{}') for template in open_clip.OPENAI_IMAGENET_TEMPLATES],
    'openai_imagenet_sub': OPENAI_IMAGENET_SUB,
}


def class_prompts(classes: Sequence[str], templates: Union[str, Sequence[str]]) -> List[List[str]]:
    """The sentences that describe each class.

    Args:
        classes (Sequence[str]): Class names; underscores are read as spaces.
        templates (str | Sequence[str]): A template with ``{}`` for the class name or a list of
            them, the name of a set (``openai_imagenet``, ``openai_imagenet_sub``), or the path of a
            JSON file ``{class: [sentences]}`` (the format of CuPL).

    Returns:
        list[list[str]]: At least one sentence for each class.

    Raises:
        InputError: Unknown set, a template without ``{}`` or without a space, a JSON file that
            cannot be read or lacks a class.
    """
    names = [name.replace('_', ' ') for name in classes]
    if isinstance(templates, str) and templates.endswith('.json'):
        return _from_json(names, Path(templates).expanduser())
    if isinstance(templates, str):
        templates = TEMPLATE_SETS.get(templates, [templates])
    for template in templates:
        if '{}' not in template:
            raise InputError(
                f'{template!r} is not a template: it has no {{}} for the class name, and is '
                f'neither a .json file nor one of the sets {", ".join(TEMPLATE_SETS)}.'
            )
        if re.search('[a-z]{2}', template) and ' ' not in template:
            raise InputError(
                f'the template {template!r} has no space. mmengine takes spaces out of '
                '--cfg-options: write templates into a config, or a .json file.'
            )
    if not templates:
        raise InputError(
            'templates is empty: give at least one template, such as "a photo of a {}."'
        )
    return [[t.replace('{}', name) for t in templates] for name in names]


def _from_json(names: List[str], path: Path) -> List[List[str]]:
    try:
        sentences = json.loads(path.read_text(encoding='utf-8'))
        if not isinstance(sentences, dict):
            raise ValueError(f'it has a {type(sentences).__name__} in place of a dict')
    except (OSError, ValueError) as error:
        raise InputError(
            f'{path} cannot be read as a JSON file of {{class: [sentences]}}: {error}'
        ) from None
    sentences = {name.replace('_', ' '): own for name, own in sentences.items()}
    missing = [
        name
        for name in names
        if not isinstance(sentences.get(name), list)
        or not sentences[name]
        or not all(isinstance(text, str) for text in sentences[name])
    ]
    if missing:
        raise InputError(
            f'{path} has no list of sentences for {len(missing)} of '
            f'{counted(len(names), "class")}: {", ".join(missing[:5])}.'
        )
    return [sentences[name] for name in names]
