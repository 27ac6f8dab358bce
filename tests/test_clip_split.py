"""Trunk and pooling layer against open_clip's whole encoder."""
import gc
import json
from pathlib import Path

import open_clip
import pytest
import torch
from safetensors.torch import save_file

from safe_mm.clip import preprocess_cfg, split_clip
from safe_mm.clip.loading import RANDOM_SEED
from safe_mm.clip.split import _SPLITS
from safe_mm.errors import InputError
from safe_mm.registry import MODELS

from .conftest import TINY_RN, TINY_VIT

RESNETS = ['RN50', 'RN101', 'RN50x4', 'RN50x16', 'RN50x64']
VITS = ['ViT-B-32', 'ViT-B-16', 'ViT-L-14', 'ViT-L-14-336']
ARCHITECTURES = [
    name + suffix for name in RESNETS + VITS for suffix in ('', '-quickgelu')
]


def open_clip_model(path: str) -> open_clip.CLIP:
    """open_clip's own model with the random weights of safe_mm."""
    with open(path) as file:
        cfg = json.load(file)
    with torch.random.fork_rng():
        torch.manual_seed(RANDOM_SEED)
        return open_clip.CLIP(**cfg).eval()


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return ((a - b).abs().max() / b.abs().max()).item()


@pytest.mark.parametrize('name', ARCHITECTURES)
def test_parts_equal_encode_image(name, shallow):
    path = shallow(name)
    reference, split = open_clip_model(path), split_clip(path, None)
    size = split.image_size
    images = torch.rand(1, 3, size, size)
    with torch.no_grad():
        expected = reference.encode_image(images)
        pooled = split.pool.eval()(split.trunk.eval()(images))
    assert relative(pooled, expected) < 1e-5
    assert split.embed_dim == expected.shape[1]
    _SPLITS.clear()  # the big ones take a gigabyte


@pytest.mark.parametrize('name', ['RN50', 'ViT-B-16'])
def test_full_depth(name):
    torch.manual_seed(RANDOM_SEED)
    reference = open_clip.CLIP(**open_clip.get_model_config(name)).eval()
    split = split_clip(name, None)
    images = torch.rand(2, 3, 224, 224)
    with torch.no_grad():
        expected = reference.encode_image(images)
        pooled = split.pool.eval()(split.trunk.eval()(images))
    assert relative(pooled, expected) < 1e-5
    _SPLITS.clear()


@pytest.mark.parametrize('path', [TINY_RN, TINY_VIT])
@pytest.mark.parametrize('dtype,tolerance', [(torch.float32, 1e-4),
                                             (torch.float64, 1e-11)])
def test_gradients_equal_autograd(path, dtype, tolerance):
    _SPLITS.clear()  # parts are shared, and these are changed
    reference, split = open_clip_model(path).to(dtype), split_clip(path, None)
    trunk, pool = split.trunk.eval().to(dtype), split.pool.to(dtype)
    images = torch.rand(3, 3, 64, 64, dtype=dtype)
    with torch.no_grad():
        features = trunk(images)
    target = torch.randn(3, 64, dtype=dtype)
    (pool(features) * target).sum().backward()
    (reference.encode_image(images) * target).sum().backward()

    visual = reference.visual
    own = dict(pool.named_parameters())
    theirs = dict(visual.attnpool.named_parameters()) if 'q_proj.bias' in own \
        else {**{f'block.{k}': v for k, v in
                 visual.transformer.resblocks[-1].named_parameters()},
              **{f'ln_post.{k}': v
                 for k, v in visual.ln_post.named_parameters()},
              'proj': visual.proj}
    assert own.keys() == theirs.keys()
    scale = max(p.grad.abs().max() for p in theirs.values())
    for name, parameter in own.items():
        if name == 'k_proj.bias':  # cancels in the softmax
            assert theirs[name].grad.abs().max() < 1e-5 * scale
            assert not parameter.requires_grad
            continue
        difference = (parameter.grad - theirs[name].grad).abs().max()
        assert difference < tolerance * scale, name
    _SPLITS.clear()


@pytest.mark.parametrize('path', [TINY_RN, TINY_VIT])
def test_attention_is_a_distribution(path):
    pool = split_clip(path, None).pool
    trunk = split_clip(path, None).trunk.eval()
    with torch.no_grad():
        attention = pool.attention(pool.tokens(trunk(torch.rand(2, 3, 64,
                                                                64))))
    assert attention.shape[0] == 2 and attention.shape[2] in (5, 65)
    torch.testing.assert_close(
        attention.sum(-1), torch.ones(attention.shape[:2]))


def test_text_encoder(tmp_path):
    _SPLITS.clear()
    reference, split = open_clip_model(TINY_VIT), split_clip(TINY_VIT, None)
    texts = [f'a photo of {i} cats.' for i in range(5)]
    with torch.no_grad():
        expected = reference.encode_text(
            open_clip.get_tokenizer('tiny-vit')(texts), normalize=True)
    torch.testing.assert_close(split.encode_text(texts), expected)

    del reference
    split.release_text_encoder()
    gc.collect()
    assert not [o for o in gc.get_objects() if type(o) is open_clip.CLIP]
    torch.testing.assert_close(split.encode_text(texts), expected)
    assert split._text is None  # what was asked before needs no encoder
    torch.testing.assert_close(split.encode_text(texts[:2]), expected[:2])


def test_weights_are_read_once(tmp_path, monkeypatch):
    import safe_mm.clip.loading as module
    path = tmp_path / 'clip.safetensors'
    state = open_clip_model(TINY_VIT).state_dict()
    save_file({k: v.contiguous() for k, v in state.items()}, str(path))
    reads = []
    read = module.read_state_dict
    monkeypatch.setattr(module, 'read_state_dict',
                        lambda p: reads.append(p) or read(p))
    clip = dict(model_name=TINY_VIT, pretrained=str(path))
    for name in ('CLIPTrunk', 'BlendedAttentionPool', 'TextClsHead',
                 'CLIPDataPreprocessor'):
        MODELS.build(dict(type=f'safe_mm.{name}', clip=clip))
    for _ in range(2):
        MODELS.build(
            dict(type='safe_mm.TextClsHead', clip=clip, classes=['a', 'b']))
    assert reads == [path]


def test_random_weights_warn_and_repeat():
    _SPLITS.clear()
    torch.manual_seed(5)
    with pytest.warns(UserWarning, match='tiny-rn.* has random weights'):
        first = split_clip(TINY_RN, None).trunk.conv1.weight.clone()
    following = torch.rand(1)
    _SPLITS.clear()
    torch.manual_seed(6)
    second = split_clip(TINY_RN, None).trunk.conv1.weight
    assert torch.equal(first, second)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(1), following)  # global state untouched


def test_pretrained_has_no_default():
    with pytest.raises(TypeError, match='pretrained'):
        split_clip(model_name=TINY_RN)


@pytest.mark.parametrize('name,message', [
    ('RN5O', 'RN50'),
    ('coca_ViT-B-32', 'not supported|no pooling layer'),
    ('ViT-B-16-SigLIP', 'not supported|no pooling layer'),
    ('convnext_base', 'no pooling layer'),
    ('nowhere/arch.json', 'No such file'),
])
def test_unknown_or_unfit_architecture(name, message):
    with pytest.raises(InputError, match=message):
        split_clip(name, None)


@pytest.mark.parametrize('content,message', [
    ('42', 'lacks embed_dim'),
    ('{"embed_dim": 8', 'cannot be read'),
    ('{"embed_dim": 8, "vision_cfg": {"depth": 1}, "text_cfg": {}}',
     'cannot build.*depth'),
])
def test_bad_architecture_file(tmp_path, content, message):
    path = tmp_path / f'bad{abs(hash(content))}.json'
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        split_clip(str(path), None)
    split_clip(TINY_RN, None)  # others go on working


def test_architecture_file_under_a_name_that_is_taken(tmp_path):
    path = tmp_path / 'RN50.json'
    path.write_text(Path(TINY_RN).read_text())
    with pytest.raises(InputError, match='rename'):
        split_clip(str(path), None)


def test_preprocessing_comes_from_open_clip():
    assert preprocess_cfg('RN50', 'openai').size == 224
    assert preprocess_cfg('RN50x64', 'openai').size == 448
    assert preprocess_cfg('ViT-L-14-336', 'openai').size == 336
    inception = preprocess_cfg('ViT-L-14', 'laion2b_s32b_b82k')
    assert inception.mean == (0.5, 0.5, 0.5)
    assert preprocess_cfg('RN50-quickgelu', 'openai').mean == (
        open_clip.OPENAI_DATASET_MEAN)
