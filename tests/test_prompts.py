import json

import open_clip
import pytest

from safe_mm.errors import InputError
from safe_mm.prompts import class_prompts


def test_one_template():
    assert class_prompts(['car_side'], 'a photo of a {}.') == [['a photo of a car side.']]


def test_list_of_templates():
    assert class_prompts(['a', 'b'], ['x {}', '{} y']) == [['x a', 'a y'], ['x b', 'b y']]


def test_named_sets():
    sentences = class_prompts(['cat'], 'openai_imagenet')[0]
    assert sentences == [t('cat') for t in open_clip.OPENAI_IMAGENET_TEMPLATES]
    subset = class_prompts(['cat'], 'openai_imagenet_sub')[0]
    assert len(subset) == 7 and set(subset) < set(sentences)


def test_sentences_of_each_class(tmp_path):
    path = tmp_path / 'cupl.json'
    path.write_text(json.dumps({'car_side': ['one', 'two {'], 'b': ['three']}))
    assert class_prompts(['b', 'car side'], str(path)) == [['three'], ['one', 'two {']]
    with pytest.raises(InputError, match='cupl.json.*1 of 2.*: c'):
        class_prompts(['b', 'c'], str(path))


@pytest.mark.parametrize('value', ['a cat', 5, [1, 2], [], None])
def test_sentences_must_be_a_list_of_texts(tmp_path, value):
    path = tmp_path / 'cupl.json'
    path.write_text(json.dumps(dict(cat=value)))
    with pytest.raises(InputError, match='no list of sentences.*cat'):
        class_prompts(['cat'], str(path))


@pytest.mark.parametrize(
    'templates,message',
    [
        ('openai_imagnet', 'openai_imagenet_sub'),
        (['a photo of a cat.'], r'no \{\}'),
        ([], 'empty'),
        ('missing.json', 'missing.json'),
    ],
)
def test_bad_templates(templates, message):
    with pytest.raises(InputError, match=message):
        class_prompts(['cat'], templates)
