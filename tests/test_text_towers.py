"""Text encoders that are not CLIP's own: CoCa, SigLIP, Hugging Face."""

import json
from importlib.util import find_spec

import open_clip
import pytest
import torch
from safetensors.torch import load_file, save_file

from safe_mm.clip import SplitCLIP, get_tokenizer
from safe_mm.clip.loading import build
from safe_mm.errors import InputError
from safe_mm.registry import MODELS

from .towers import make_tower

TEXTS = ['a cat', 'a photo of a red dog.']
BERT = dict(
    model_type='bert',
    architectures=['BertModel'],
    hidden_size=32,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=64,
    vocab_size=32,
    max_position_embeddings=40,
    pad_token_id=0,
)
WORDS = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'a', 'cat', 'photo', 'of', 'red', 'dog', '.']
needs_transformers = pytest.mark.skipif(
    find_spec('transformers') is None, reason='needs transformers'
)


@pytest.mark.parametrize('name', ['coca_ViT-B-32', 'ViT-B-16-SigLIP'])
def test_custom_text_towers(name, tmp_path):
    tower = make_tower(name, False, tmp_path)
    split = SplitCLIP(**tower.clip)
    assert not hasattr(split.text, 'text_decoder') or (split.text.text_decoder is None)
    length = 76 if 'coca' in name else 77
    tokens = open_clip.tokenize(TEXTS, context_length=length)
    with torch.no_grad():
        expected = tower.reference.encode_text(tokens, normalize=True)
    torch.testing.assert_close(split.encode_text(TEXTS), expected)


@pytest.fixture(scope='module')
def sigmoid(tmp_path_factory):
    """A SigLIP, its JSON file and its weights."""
    return make_tower('ViT-B-16-SigLIP', False, tmp_path_factory.mktemp('sigmoid'))


def test_logit_bias_is_of_the_file(sigmoid, tmp_path):
    """Also where the file has it as a vector, and what is no weight."""
    state = load_file(sigmoid.clip['pretrained'])
    state.update(
        {
            'logit_bias': torch.tensor([-12.5]),
            'logit_scale': state['logit_scale'].reshape(1),
            'text.embeddings.position_ids': torch.arange(4),
        }
    )
    save_file(state, tmp_path / 'file.safetensors')
    split = SplitCLIP(sigmoid.clip['model_name'], str(tmp_path / 'file.safetensors'))
    assert split.logit_bias == -12.5
    head = MODELS.build(dict(type='safe_mm.TextClsHead', clip=split, classes=['a', 'b']))
    assert head.state_dict()['logit_bias'] == -12.5


def test_weights_fit_or_are_refused(sigmoid, tmp_path):
    state = load_file(sigmoid.clip['pretrained'])
    del state['visual.trunk.attn_pool.latent']
    save_file(state, tmp_path / 'file.safetensors')
    with pytest.raises(InputError, match='lacks visual.trunk.attn_pool.lat'):
        SplitCLIP(sigmoid.clip['model_name'], str(tmp_path / 'file.safetensors'))


def test_clip_without_bias_keeps_its_keys(tiny_clip):
    split = SplitCLIP(**tiny_clip)
    assert split.logit_bias == 0
    head = MODELS.build(dict(type='safe_mm.TextClsHead', clip=split))
    assert 'logit_bias' not in head.state_dict()


def hugging_face(folder, **text) -> str:
    """An architecture with a tiny BERT, all of it in local files."""
    bert = folder / 'tiny-bert'
    bert.mkdir()
    (bert / 'config.json').write_text(json.dumps(BERT))
    (bert / 'vocab.txt').write_text('\n'.join(WORDS))
    (bert / 'tokenizer_config.json').write_text(json.dumps(dict(tokenizer_class='BertTokenizer')))
    path = folder / f'{folder.name}-bert.json'
    path.write_text(
        json.dumps(
            dict(
                embed_dim=48,
                vision_cfg=dict(image_size=32, layers=1, width=64, patch_size=16),
                text_cfg=dict(
                    dict(
                        hf_model_name=str(bert),
                        hf_tokenizer_name=str(bert),
                        hf_proj_type='mlp',
                        context_length=16,
                    ),
                    **text,
                ),
            )
        )
    )
    return str(path)


@needs_transformers
def test_hugging_face_tower(tmp_path):
    name = hugging_face(tmp_path)
    reference = build(name, False, seed=3).eval()
    assert isinstance(reference, open_clip.CustomTextCLIP)
    state = reference.state_dict()
    state['text.transformer.embeddings.position_ids'] = torch.arange(40)[None]
    save_file(state, tmp_path / 'file.safetensors')
    split = SplitCLIP(name, str(tmp_path / 'file.safetensors'))
    tokens = open_clip.get_tokenizer(f'{tmp_path.name}-bert')(TEXTS)
    assert tokens.shape == (2, 16) and tokens[0, :4].tolist() == [2, 5, 6, 3]
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        expected = reference.encode_text(tokens, normalize=True)
        torch.testing.assert_close(split.pool(split.trunk(images)), reference.encode_image(images))
    torch.testing.assert_close(split.encode_text(TEXTS), expected)


@needs_transformers
def test_tower_that_cannot_be_found(tmp_path, monkeypatch):
    monkeypatch.setenv('HF_HUB_OFFLINE', '1')
    name = hugging_face(tmp_path, hf_model_name=str(tmp_path / 'no-bert'))
    with pytest.raises(InputError, match='cannot build .*hf_model_name to'):
        SplitCLIP(name, None)


@needs_transformers
def test_tokenizer_that_cannot_be_found(tmp_path):
    name = hugging_face(tmp_path, hf_tokenizer_name=str(tmp_path / 'nowhere'))
    split = SplitCLIP(name, None)  # without texts, none is needed
    with pytest.raises(InputError, match='set text_cfg.hf_tokenizer_name'):
        split.encode_text(TEXTS)


def test_transformers_are_not_installed(tmp_path, monkeypatch):
    name = hugging_face(tmp_path)
    monkeypatch.setattr('safe_mm.clip.architecture.find_spec', lambda package: None)
    with pytest.raises(InputError, match='text tower of .*pip install trans'):
        SplitCLIP(name, None)
    for tokenizer in (name, 'ViT-B-16-SigLIP'):
        with pytest.raises(InputError, match='tokenizer of .*pip install tra'):
            get_tokenizer(tokenizer)


def test_siglips_own_tokenizer_by_name(tmp_path, monkeypatch):
    """open_clip takes SigLIP's where the architecture's name has it."""
    from .towers import config

    path = tmp_path / 'my-siglip.json'
    path.write_text(json.dumps(config('ViT-B-16-SigLIP')))
    monkeypatch.setattr('safe_mm.clip.architecture.find_spec', lambda package: None)
    with pytest.raises(InputError, match='pip install transformers'):
        get_tokenizer(str(path))
