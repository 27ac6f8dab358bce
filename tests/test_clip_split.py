"""A CLIP loaded in parts, against open_clip's whole model."""

import json
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2, merge_preprocess_dict
from PIL import Image
from safetensors.torch import save_file

from safe_mm.clip import SplitCLIP, get_clip, preprocess_cfg
from safe_mm.clip.loading import RANDOM_SEED
from safe_mm.errors import InputError
from safe_mm.registry import MODELS, TRANSFORMS

from .conftest import TINY_RN, TINY_VIT

# With fewer layers, the others are like these
ARCHITECTURES = ['RN50x4', 'RN50x16', 'RN50x64', 'ViT-B-32-quickgelu', 'ViT-L-14-336']


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
    reference, split = open_clip_model(path), SplitCLIP(path, None)
    size = split.image_size
    images = torch.rand(1, 3, size, size)
    with torch.no_grad():
        expected = reference.encode_image(images)
        pooled = split.pool.eval()(split.trunk.eval()(images))
    assert relative(pooled, expected) < 1e-5
    assert split.embed_dim == expected.shape[1]


@pytest.mark.parametrize('name', ['RN50', 'ViT-B-16'])
def test_full_depth(name):
    torch.manual_seed(RANDOM_SEED)
    reference = open_clip.CLIP(**open_clip.get_model_config(name)).eval()
    split = SplitCLIP(name, None)
    images = torch.rand(2, 3, 224, 224)
    with torch.no_grad():
        expected = reference.encode_image(images)
        pooled = split.pool.eval()(split.trunk.eval()(images))
    assert relative(pooled, expected) < 1e-5


def test_text_encoder():
    reference, split = open_clip_model(TINY_VIT), SplitCLIP(TINY_VIT, None)
    texts = [f'a photo of {i} cats.' for i in range(5)]
    with torch.no_grad():
        expected = reference.encode_text(open_clip.get_tokenizer('tiny-vit')(texts), normalize=True)
    torch.testing.assert_close(split.encode_text(texts), expected)
    assert split.text.visual is None


def test_texts_go_through_in_batches(monkeypatch):
    split = SplitCLIP(TINY_VIT, None)
    texts = [f'a photo of {i} cats.' for i in range(5)]
    expected = split.encode_text(texts)
    monkeypatch.setattr('safe_mm.clip.split.TEXTS_PER_BATCH', 2)
    torch.testing.assert_close(split.encode_text(texts), expected)


def test_weights_are_read_once(tmp_path, monkeypatch):
    """By a classifier, for all of its parts."""
    import safe_mm.clip.loading as module

    path = tmp_path / 'clip.safetensors'
    state = open_clip_model(TINY_VIT).state_dict()
    save_file({k: v.contiguous() for k, v in state.items()}, str(path))
    reads = []
    read = module.read_state_dict
    monkeypatch.setattr(module, 'read_state_dict', lambda p: reads.append(p) or read(p))
    MODELS.build(
        dict(
            type='safe_mm.CLIPClassifier',
            clip=dict(model_name=TINY_VIT, pretrained=str(path)),
            neck=dict(type='safe_mm.BlendedAttentionPool'),
            head=dict(type='safe_mm.TextClsHead'),
            classes=['a', 'b'],
        )
    )
    assert reads == [path]


def test_get_clip(tiny_clip):
    """Loads what a config names; a loaded one is handed through."""
    loaded = get_clip(tiny_clip)
    assert isinstance(loaded, SplitCLIP)
    assert get_clip(loaded) is loaded
    assert get_clip(tiny_clip) is not loaded


def test_random_weights_warn_and_repeat():
    torch.manual_seed(5)
    with pytest.warns(UserWarning, match='tiny-rn.* has random weights'):
        first = SplitCLIP(TINY_RN, None).trunk.conv1.weight.clone()
    following = torch.rand(1)
    torch.manual_seed(6)
    second = SplitCLIP(TINY_RN, None).trunk.conv1.weight
    assert torch.equal(first, second)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(1), following)  # global state untouched


def test_pretrained_has_no_default():
    with pytest.raises(TypeError, match='pretrained'):
        SplitCLIP(model_name=TINY_RN)


@pytest.mark.parametrize(
    'name,message',
    [('RN5O', 'RN50'), ('RN50x4x', 'Near matches: RN50x4'), ('nowhere/arch.json', 'No such file')],
)
def test_unknown_or_unfit_architecture(name, message):
    with pytest.raises(InputError, match=message):
        SplitCLIP(name, None)


@pytest.mark.parametrize(
    'content,message',
    [
        ('42', 'lacks embed_dim'),
        ('{"embed_dim": 8', 'cannot be read'),
        ('{"embed_dim": 8, "vision_cfg": {"depth": 1}, "text_cfg": {}}', 'cannot build.*depth'),
    ],
)
def test_bad_architecture_file(tmp_path, content, message):
    path = tmp_path / f'bad{abs(hash(content))}.json'
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        SplitCLIP(str(path), None)
    SplitCLIP(TINY_RN, None)  # others go on working


def test_architecture_file_under_a_name_that_is_taken(tmp_path):
    path = tmp_path / 'RN50.json'
    path.write_text(Path(TINY_RN).read_text())
    with pytest.raises(InputError, match='rename'):
        SplitCLIP(str(path), None)


def test_preprocessing_comes_from_open_clip():
    assert preprocess_cfg('RN50', 'openai').size == 224
    assert preprocess_cfg('RN50x64', 'openai').size == 448
    assert preprocess_cfg('ViT-L-14-336', 'openai').size == 336
    inception = preprocess_cfg('ViT-L-14', 'laion2b_s32b_b82k')
    assert inception.mean == (0.5, 0.5, 0.5)
    assert preprocess_cfg('RN50-quickgelu', 'openai').mean == (open_clip.OPENAI_DATASET_MEAN)


TAGS = [
    ('ViT-B-16-SigLIP', 'webli'),
    ('ViT-B-16-SigLIP2', 'webli'),
    ('coca_ViT-B-32', 'laion2b_s13b_b90k'),
    ('RN50', 'openai'),
]


@pytest.mark.parametrize('name,tag', TAGS)
def test_preprocessing_is_open_clips(name, tag):
    """The tag's own transform, from picture to normalised tensor."""
    if name not in open_clip.list_models():
        pytest.skip('open_clip is too old')
    expected = image_transform_v2(
        PreprocessCfg(
            **dict(
                merge_preprocess_dict(PreprocessCfg(), open_clip.get_pretrained_cfg(name, tag)),
                size=(224, 224),
            )
        ),
        is_train=False,
    )
    cfg = preprocess_cfg(name, tag)
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (90, 160, 3), dtype=np.uint8)
    crop = TRANSFORMS.build(
        dict(
            type='safe_mm.CLIPCrop',
            size=cfg.size,
            interpolation=cfg.interpolation,
            resize_mode=cfg.resize_mode,
        )
    )
    normalise = MODELS.build(
        dict(
            type='safe_mm.CLIPDataPreprocessor',
            to_rgb=False,
            clip=dict(model_name=name, pretrained=tag),
        )
    )
    pixels = torch.from_numpy(crop(dict(img=image))['img'].copy())
    ours = normalise(dict(inputs=pixels.permute(2, 0, 1)[None]))['inputs'][0]
    torch.testing.assert_close(ours, expected(Image.fromarray(image)))


def test_siglip_is_squashed_to_its_size():
    cfg = preprocess_cfg('ViT-B-16-SigLIP', 'webli')
    assert cfg.mean == cfg.std == (0.5, 0.5, 0.5)
    assert cfg.resize_mode == 'squash'


def test_images_that_are_not_square(tmp_path):
    """From the config to the classifier's logits, and the swapped size."""
    cfg = json.loads(Path(TINY_VIT).read_text())
    cfg['vision_cfg']['image_size'] = [32, 64]
    path = tmp_path / 'wide-vit.json'
    path.write_text(json.dumps(cfg))
    clip = dict(model_name=str(path), pretrained=None)
    assert preprocess_cfg(**clip).size == (32, 64)
    assert SplitCLIP(**clip).image_size == (32, 64)
    crop = TRANSFORMS.build(dict(type='safe_mm.CLIPCrop', size=preprocess_cfg(**clip).size))
    image = np.zeros((100, 70, 3), np.uint8)
    assert crop(dict(img=image))['img_shape'] == (32, 64)
    trunk = MODELS.build(dict(type='safe_mm.CLIPTrunk', clip=clip))
    assert trunk(torch.rand(1, 3, 32, 64))[0].shape == (1, 1 + 4 * 8, 128)
    with pytest.raises(InputError, match='32 x 64 pixels'):
        trunk(torch.rand(1, 3, 64, 32))
