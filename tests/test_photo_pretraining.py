"""Pretraining a CLIP between an image classifier and a sentence encoder."""

import random
from collections import Counter

import numpy as np
import open_clip
import pytest
import torch
from mmpretrain.structures import DataSample
from PIL import Image
from safetensors.torch import load_file
from timm.data import ImageNetInfo
from torch.nn import functional as F

from safe_mm.clip import SplitCLIP
from safe_mm.clip.parts import trunk_classifier
from safe_mm.datasets.captioned import CaptionedPhotos, read_captions
from safe_mm.engine.held_out_hook import first_views
from safe_mm.engine.mean_pool_start_hook import start_as_mean
from safe_mm.errors import InputError
from safe_mm.models.posterior import PosteriorLoss, soft_cross_entropy
from safe_mm.models.vocabulary import Vocabulary, read_wordnet
from safe_mm.poolings import Pooling, RotAttentionPool
from safe_mm.registry import MODELS

from .conftest import fails, run_tool
from .test_photos import needs_photos

WNIDS = ImageNetInfo('imagenet-1k').label_names()
HEADER = '  1 The license of WordNet comes first.  \n'
# The most general noun, and three kinds of it
TERMS = [('00000001', 'entity', ''), ('00000002', 'animal', '00000001')]
TERMS += [('00000003', 'thing', '00000001'), ('00000004', 'living_fossil', '00000002')]


def noun(offset, words, parent, gloss):
    pointers = f'001 @ {parent} n 0000' if parent else '000'
    named = ' '.join(f'{word} 0' for word in words)
    return f'{offset} 03 n {len(words):02x} {named} {pointers} | {gloss}; "an example"  \n'


@pytest.fixture
def root(tmp_path):
    """Photos, captions and a small WordNet: classes below 10 are fossils, below 400 animals."""
    lines = [noun(offset, [word], parent, f'a {word}') for offset, word, parent in TERMS]
    for label, wnid in enumerate(WNIDS):
        parent = 4 if label < 10 else 2 if label < 400 else 3
        lines.append(noun(wnid[1:], [f'word_{label}', f'Verbum_{label}'], f'{parent:08}', 'a kind'))
    (tmp_path / 'data.noun').write_text(HEADER + ''.join(lines))
    (tmp_path / 'some').mkdir()
    rng = np.random.default_rng(0)
    for i in range(24):
        pixels = rng.integers(0, 255, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / 'some' / f'{i:02}.png')
    lines = [f'{i:02}.png,"photo {i}, with a comma"\n' for i in range(20) for _ in range(2)]
    (tmp_path / 'captions.csv').write_text('image,caption\n' + ''.join(lines))
    return tmp_path


def test_wordnet(root):
    synsets = read_wordnet(root / 'data.noun')
    assert len(synsets) == 1004
    first = synsets[WNIDS[0][1:]]
    assert first == (['word 0', 'Verbum 0'], 'a kind', '00000004')
    assert synsets['00000001'].parent == ''


@pytest.mark.parametrize(
    ('text', 'match'),
    [
        ('no noun at all\n', 'cannot be read as the nouns of WordNet'),
        (noun('00000001', ['entity'], '', 'all'), 'not of WordNet 3.0: it has no noun n01440764'),
    ],
)
def test_other_files_than_wordnet(tmp_path, text, match):
    (tmp_path / 'data.noun').write_text(text)
    with pytest.raises(InputError, match=match):
        read_wordnet(tmp_path / 'data.noun')
    with pytest.raises(InputError, match='cannot be read'):
        read_wordnet(tmp_path / 'nowhere')


def test_draws_are_of_classes_or_of_groups(root):
    random.seed(0)
    names = open_clip.IMAGENET_CLASSNAMES
    classes = Vocabulary('data.noun', str(root), general=0)
    members, sentences = classes.draw()
    assert members == list(range(1000))
    for label, sentence in enumerate(sentences):
        known = (names[label], f'word {label}', f'Verbum {label}')
        assert any(word in sentence for word in known)
    groups = Vocabulary('data.noun', str(root), general=1)
    counts = Counter()
    for _ in range(50):
        members, sentences = groups.draw()
        sizes = Counter(members)
        assert max(sizes.values()) <= 400 and len(sizes) == len(sentences)
        if sizes.most_common(1)[0][1] == 400:  # never of more than 400
            assert members[:400] == [0] * 400
        counts[len(sentences)] += 1
    assert {1000, 991} <= counts.keys()  # nothing fits, or the fossils do


def test_what_is_held_out_is_never_named(root):
    random.seed(0)
    vocabulary = Vocabulary('data.noun', str(root), general=0.5, held_out=True)
    assert len(vocabulary.held_out_classes) == 200 and len(vocabulary.named) == 800
    assert vocabulary.held_out_terms == {'00000004'}  # the only one of 3 to 100 classes
    fossil = next(c for c in vocabulary.held_out_classes if c < 10)
    assert vocabulary.held_out_term(fossil) == '00000004'
    held, named = (
        {open_clip.IMAGENET_CLASSNAMES[c] for c in classes}
        for classes in (vocabulary.held_out_classes, vocabulary.named)
    )
    held -= named  # two names are shared by two classes
    assert len(held) >= 196
    for _ in range(20):
        members, sentences = vocabulary.draw()
        assert len(members) == 800
        assert not any('fossil' in sentence for sentence in sentences)
        assert not {f'a photo of a {name}.' for name in held} & set(sentences)


def test_cross_entropy_by_hand():
    logits = torch.tensor([[0.0, 1.0, 2.0]], dtype=torch.float64, requires_grad=True)
    targets = torch.tensor([[0.2, 0.0, 0.5]], dtype=torch.float64)
    total = logits.exp().sum()
    expected = -(0.2 * (logits[0, 0] - total.log()) + 0.5 * (logits[0, 2] - total.log()))
    torch.testing.assert_close(soft_cross_entropy(logits, targets), expected)


@needs_photos
def test_posterior_loss_sums_groups(root):
    """Literally: -sum over groups of p(group) log softmax(scale f t)."""
    torch.manual_seed(0)
    vocabulary = Vocabulary('data.noun', str(root), held_out=True)
    members = [i % 7 for i in range(800)]
    vocabulary.draw = lambda: (members, [str(i) for i in range(7)])
    loss = PosteriorLoss('photos', vocabulary).double()
    dense, texts = torch.rand(3, 1280, 7, 7).double(), torch.randn(7, 16).double()
    pooled = F.normalize(torch.randn(3, 16).double(), dim=-1)
    found = loss(dense, pooled, torch.tensor(9.0).double(), lambda sentences: texts)
    weight, bias = (x.double() for x in trunk_classifier('photos'))
    expected = torch.zeros(()).double()
    for image in range(3):
        scores = weight @ dense[image].mean((1, 2)) + bias
        probability = scores.exp() / scores.exp().sum()
        logits = torch.stack([9 * pooled[image] @ text for text in texts])
        for member, label in zip(members, vocabulary.named):
            expected -= probability[label] * (logits[member] - logits.logsumexp(0)) / 3
    torch.testing.assert_close(found, expected)


def pretrainer(root, **kwargs):
    return MODELS.build(
        dict(
            type='safe_mm.CLIPPretrainer',
            clip=dict(model_name='photos'),
            posterior=1,
            vocabulary=dict(wordnet='data.noun', data_root=str(root)),
            bf16=False,
            **kwargs,
        )
    )


@needs_photos
def test_start_averages_and_knows_the_names(root, monkeypatch):
    """The pooling layer is the mean, projected; features of names lie near their classes' rows."""
    monkeypatch.setattr('safe_mm.models.posterior.TEMPLATES', ('a photo of a {}.',))
    torch.manual_seed(0)
    model = pretrainer(root).eval()
    means = torch.rand(50, 1280)
    start_as_mean(model, means)
    dense = torch.rand(2, 1280, 7, 7)
    layer = model.pool.layer
    with torch.no_grad():
        expected = F.linear(dense.mean((2, 3)), layer.proj.weight, layer.proj.bias)
        torch.testing.assert_close(model.pool(dense), expected, rtol=1e-4, atol=1e-4)
        basis = layer.proj.weight
        torch.testing.assert_close(basis @ basis.T, torch.eye(1024), rtol=0, atol=1e-4)
        torch.testing.assert_close(
            means.mean(0) @ basis.T + layer.proj.bias, torch.zeros(1024), rtol=0, atol=1e-4
        )
        rows, _ = trunk_classifier('photos')
        rows = F.normalize((rows - rows.mean(0)) @ basis.T, dim=-1)
        texts = model.encode_text(
            [f'a photo of a {name}.' for name in open_clip.IMAGENET_CLASSNAMES]
        )
        nearest = (rows @ texts.T).argmax(-1) == torch.arange(1000)
    assert nearest.float().mean() > 0.5


@needs_photos
def test_stored_sentences_are_the_towers(root):
    model = pretrainer(root).eval()
    texts = ['a cat.', 'a photo of a much longer sentence, with many more words.', 'a cat.']
    with torch.no_grad():
        expected = model.text.encode_text(model.tokenize(texts), normalize=True)
        model.train()
        torch.testing.assert_close(model.encode_text(texts), expected, rtol=0, atol=1e-5)
    before = dict(model.stored._known)
    model.encode_text(texts)
    assert model.stored._known.keys() == before.keys() and len(before) == 2


@needs_photos
def test_a_batch_without_captions(root):
    model = pretrainer(root)
    samples = [DataSample(metainfo=dict(captions=[])) for _ in range(2)]
    losses = model(torch.rand(2, 1280, 7, 7), samples, start='dense')
    assert list(losses) == ['loss_posterior'] and losses['loss_posterior'] > 0


def test_captioned_photos(root):
    photos = CaptionedPhotos(str(root))
    assert len(photos) == 24
    first, last = photos.get_data_info(0), photos.get_data_info(23)
    assert first['captions'] == ['photo 0, with a comma'] * 2 and last['captions'] == []
    without, only = (CaptionedPhotos(str(root), held_out=part) for part in ('without', 'only'))
    paths = [{d.get_data_info(i)['img_path'] for i in range(len(d))} for d in (without, only)]
    assert not paths[0] & paths[1] and [len(p) for p in paths] == [22, 2]
    assert all(only.get_data_info(i)['captions'] for i in range(2))
    views = CaptionedPhotos(str(root), mirror=True, repeats=3)
    seen = Counter((d['img_path'], d['mirror']) for d in map(views.get_data_info, range(64)))
    with pytest.raises(InputError, match='repeats=0 should be at least 1'):
        CaptionedPhotos(str(root), repeats=0)
    first = first_views(views)
    assert len(first) == 24 and first == sorted(first) and first[-1] < 32
    assert len({views.get_data_info(i)['img_path'] for i in first}) == 24
    assert len(views) == 2 * (20 + 3 * 4) and len(seen) == 48 and set(seen.values()) == {1, 3}


@pytest.mark.parametrize(
    ('text', 'match'),
    [
        ('name,caption\n1.png,a\n', 'should begin with the line image,caption'),
        ('image,caption\n1.png,a,b\n', 'in double quotes'),
        ('image,caption\n1.png,a photo\n', 'none of the 24 photos'),
    ],
)
def test_bad_captions(root, text, match):
    (root / 'captions.csv').write_text(text)
    with pytest.raises(InputError, match=match):
        CaptionedPhotos(str(root))


def test_captions_file_is_missing(tmp_path):
    with pytest.raises(InputError, match='cannot be read'):
        read_captions(tmp_path / 'captions.csv')


@needs_photos
def test_recipe(root, tmp_path, monkeypatch):
    """From photos and captions to a file, and what it refuses."""
    monkeypatch.setattr('safe_mm.models.posterior.TEMPLATES', ('{}',))
    config, work_dir = 'configs/pretrain/photos.py', tmp_path / 'run'
    options = ['--cfg-options', 'train_cfg.max_iters=2', 'param_scheduler.0.end=1']
    options += ['param_scheduler.1.begin=1', 'param_scheduler.1.end=2']
    options += ['train_dataloader.batch_size=24', 'custom_hooks.2.interval=2']
    options += ['default_hooks.checkpoint.interval=2']
    held = ['model.vocabulary.held_out=True']
    run_tool('train', config, '--data-root', root, '--work-dir', work_dir, *options, *held)
    log = next(work_dir.rglob('*.log')).read_text()
    assert 'Iter 2, held out: image_to_text' in log
    out = tmp_path / 'photos_new.safetensors'
    run_tool('export_clip', config, work_dir / 'iter_2.pth', out)
    state = load_file(out)
    assert not any('trunk' in key or 'transformer' in key for key in state)
    split = SplitCLIP('photos', str(out))
    torch.testing.assert_close(
        split.pool.layer.proj.weight.half(), state['visual.head.pool.proj.weight']
    )
    streamed = [*options, 'default_hooks.feature_cache=None']
    args = ['--data-root', root, '--work-dir', tmp_path / 'streamed', *streamed]
    fails('needs a FeatureCacheHook', 'train', config, *args)


def test_other_pooling_layers_cannot_average():
    with pytest.raises(InputError, match='AttentionPool cannot start as a mean'):
        SplitCLIP('creatures-rn', 'seed1').pool.start_as_mean(torch.zeros(1), torch.zeros(1))
    assert RotAttentionPool.start_as_mean is Pooling.start_as_mean
