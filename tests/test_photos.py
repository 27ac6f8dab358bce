"""The CLIP of photos, from parts that packages bring."""

import hashlib
import sys
from copy import deepcopy
from importlib.util import find_spec
from pathlib import Path

import pytest
import timm
import torch
from mmpretrain import get_model
from safetensors.torch import save_file
from torch.nn import functional as F

from safe_mm import Predictor
from safe_mm.clip import SplitCLIP, get_tokenizer, preprocess_cfg
from safe_mm.clip.loading import build, load_clip
from safe_mm.clip.parts import PARTS, packaged, read, read_parts, trunk_classifier
from safe_mm.datasets.splits import read_folders
from safe_mm.errors import InputError

from .conftest import ROOT, metrics, run_tool
from .methods import Method, write_config

SHIPPED = ROOT / 'safe_mm' / 'small_clip'
TEXTS = ['a photo of a cat.', 'Two men are playing football on the grass, and one is winning.']

needs_photos = pytest.mark.skipif(
    not all(find_spec(part.file.partition('/')[0]) for part in PARTS['photos']),
    reason='needs the extra photos',
)


@pytest.fixture(scope='module')
def clip(tmp_path_factory):
    """With what is trained at random."""
    file = tmp_path_factory.mktemp('photos') / 'photos_new.safetensors'
    state = build('photos', False).state_dict()
    parts = read_parts('photos', list(state))
    save_file({key: value for key, value in state.items() if key not in parts}, file)
    return SplitCLIP('photos', str(file))


@needs_photos
def test_what_is_trained_is_small():
    state = build('photos', False).state_dict()
    parts = read_parts('photos', list(state))
    trained = state.keys() - parts.keys()
    prefixes = ('logit_scale', 'visual.head.pool.', 'text.proj.')
    assert trained and all(key.startswith(prefixes) for key in trained)
    assert sum(2 * state[key].numel() for key in trained) <= 14e6  # bytes in float16


@needs_photos
def test_trunk_is_timms(clip):
    trunk = timm.create_model('tf_efficientnet_lite0').eval()
    own = deepcopy(clip.trunk).double()
    weights = read(PARTS['photos'][0].file)
    expected = trunk.state_dict()
    for theirs, ours in zip(weights, expected):  # in one order
        assert theirs.rpartition('.')[2] == ours.rpartition('.')[2]
        assert weights[theirs].shape == expected[ours].shape
    trunk.load_state_dict(dict(zip(expected, weights.values())))
    view = preprocess_cfg('photos', None)
    assert tuple(view.mean) == trunk.pretrained_cfg['mean']
    assert tuple(view.std) == trunk.pretrained_cfg['std']
    trunk, images = trunk.double(), torch.randn(2, 3, 224, 224).double()
    with torch.no_grad():
        dense = own(images)
        torch.testing.assert_close(dense, trunk.forward_features(images), rtol=0, atol=1e-5)
        weight, bias = (x.double() for x in trunk_classifier('photos'))
        logits = F.linear(dense.mean((2, 3)), weight, bias)
        torch.testing.assert_close(logits, trunk(images), rtol=0, atol=1e-5)


@needs_photos
def test_text_encoder_is_sentence_transformers(clip):
    transformers = pytest.importorskip('sentence_transformers')
    folder = packaged(PARTS['photos'][1].file).parent
    expected = transformers.SentenceTransformer(str(folder), device='cpu').encode(TEXTS)
    tower = clip.text.text
    tokens = get_tokenizer('photos')(TEXTS)
    assert tokens.shape == (2, 77)
    mask = (tokens != tower.config.pad_token_id).long()
    with torch.no_grad():
        found = tower.pooler(tower.transformer(input_ids=tokens, attention_mask=mask), mask)
        torch.testing.assert_close(
            F.normalize(found, dim=-1), torch.tensor(expected), rtol=0, atol=1e-5
        )
        projected = F.normalize(tower.proj(found), dim=-1)
    torch.testing.assert_close(clip.encode_text(TEXTS), projected)


@needs_photos
@pytest.mark.parametrize('seed', ['seed1', 'seed2'])
def test_shipped_weights(seed):
    """Small, as the model card says, and with related texts nearer than others."""
    file = SHIPPED / f'photos_{seed}.safetensors'
    assert file.stat().st_size <= 14e6
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    card = (SHIPPED / 'MODEL_CARD_photos.md').read_text()
    assert f'{digest}  {file.name}' in card and '@' not in card
    texts = ['a photo of a tabby cat.', 'a photo of a kitten.', 'a photo of a fire engine.']
    cat, kitten, engine = SplitCLIP('photos', seed).encode_text(texts)
    assert cat @ kitten > cat @ engine + 0.3


@needs_photos
def test_parts_equal_encode_image():
    clip, images = SplitCLIP('photos', 'seed1'), torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        expected = load_clip('photos', 'seed1').eval().encode_image(images)
        found = clip.pool.eval()(clip.trunk.eval()(images))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@needs_photos
def test_mmpretrain_works_beside_transformers():
    build('photos', False)
    assert 'transformers' in sys.modules
    model = get_model('resnet18_8xb32_in1k', pretrained=False).eval()
    with torch.no_grad():
        assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 1000)


@pytest.fixture
def run(shapes, tmp_path):
    """Trains and tests a method with the CLIP itself; gives the test metrics."""

    def train_and_test(name: str, trains: bool) -> dict:
        file = write_config(Method(name, trains=trains), tmp_path, shapes)
        common = ['--clip', 'photos', '--work-dir', tmp_path / 'run']
        short = ['train_cfg.max_iters=5', 'train_cfg.val_interval=5']
        run_tool('train', file, *common, '--shots', 4, *['--cfg-options', *short] * trains)
        assert (tmp_path / 'run' / 'iter_5.pth').is_file() == trains
        return metrics(file, tmp_path / 'run', *common[:2])

    return train_and_test


@needs_photos
@pytest.mark.parametrize('name,trains', [('gda', False), ('coop-m4', True)])
def test_methods(name, trains, run):
    metrics = run(name, trains)
    assert metrics['accuracy/top1'] > 100 / 6 < metrics['figure/zero-shot']


@needs_photos
def test_a_classifier_file(run, shapes, tmp_path):
    """Has the test accuracy of the work dir."""
    metrics = run('safe_photos', True)
    run_tool('export', 'classifier', tmp_path / 'run', tmp_path / 'mine.safetensors')
    predictor = Predictor.from_checkpoint(tmp_path / 'mine.safetensors')
    items = read_folders(Path(shapes, 'shapes'))['test']
    found = predictor([Path(shapes, 'shapes', path) for path, _, _ in items])
    hits = [one.label == label for one, (_, label, _) in zip(found, items)]
    assert 100 * sum(hits) / len(hits) == pytest.approx(metrics['accuracy/top1'])


@pytest.mark.parametrize('part', PARTS['photos'], ids=lambda part: part.prefix)
def test_a_part_is_missing(part, monkeypatch, tmp_path):
    package = part.file.partition('/')[0]
    save_file(dict(logit_scale=torch.zeros(())), tmp_path / 'some.safetensors')
    monkeypatch.setattr(
        'safe_mm.clip.parts.find_spec', lambda name: None if name == package else find_spec(name)
    )
    with pytest.raises(InputError, match=rf'{package.replace("_", "-")}.*safe-mm\[photos\]'):
        load_clip('photos', str(tmp_path / 'some.safetensors'))


def test_a_file_of_a_part_is_missing():
    with pytest.raises(InputError, match='no-such-file.*missing.*photos'):
        packaged('timm/no-such-file')


def test_only_packaged_encoders_have_a_classifier():
    with pytest.raises(InputError, match='creatures-rn has no classifier'):
        trunk_classifier('creatures-rn')
