"""Pretraining a CLIP on pictures with captions."""

import hashlib
import json

import open_clip
import pytest
import torch
from open_clip.loss import ClipLoss
from open_clip.tokenizer import SimpleTokenizer
from safetensors.torch import load_file

from safe_mm.clip import SplitCLIP, get_tokenizer
from safe_mm.clip.architecture import SHIPPED
from safe_mm.clip.loading import build
from safe_mm.creatures import anatomy, world
from safe_mm.creatures.captions import TEMPLATES
from safe_mm.creatures.draw import KNOWN_GROUNDS
from safe_mm.engine.zero_shot_hook import zero_shot
from safe_mm.models.pretrainer import words_loss
from safe_mm.registry import DATASETS, MODELS

from .conftest import ROOT, fails, run_tool, weights

SMALL = ('creatures-rn', 'creatures-vit')


def pretrainer(name: str, **kwargs):
    torch.manual_seed(5)
    return MODELS.build(
        dict(
            type='safe_mm.CLIPPretrainer',
            clip=dict(model_name=name, pretrained=None),
            bf16=False,
            **kwargs,
        )
    )


def whole_clip(model, name: str) -> open_clip.CLIP:
    """The same model, in one piece and by open_clip alone."""
    clip = build(name, False, seed=9)
    clip.load_state_dict(model.open_clip_state_dict())
    return clip


def images(name: str, count: int) -> torch.Tensor:
    size = SplitCLIP(name, None).image_size
    return torch.randn(count, 3, size, size)


class Sample:
    def __init__(self, *captions: str) -> None:
        self.captions = list(captions)


@pytest.mark.parametrize(
    'file', sorted(SHIPPED.glob('creatures*.safetensors')), ids=lambda file: file.stem
)
def test_shipped_weights(file):
    """Small, as the model card says, and with prompts told apart."""
    assert file.stat().st_size <= 8e6
    card = (SHIPPED / 'MODEL_CARD.md').read_text()
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert f'{digest}  {file.name}' in card
    split = SplitCLIP(*file.stem.split('_'))
    texts = [TEMPLATES['pattern'].format(k) for k in anatomy.KINDS['pattern']]
    features = split.encode_text(texts)
    cosine = (features @ features.T - torch.eye(len(texts))).mean()
    assert cosine < 0.2


def test_words_loss_by_hand():
    """-mean over a bag's words of log(sum_j e^s_jw / sum_jv e^s_jv)."""
    torch.manual_seed(0)
    scores = torch.randn(2, 4, 6, dtype=torch.float64)
    bags = torch.tensor([[0, 1, 1, 0, 0, 1], [1, 0, 0, 0, 0, 0]]).double()
    likely = scores.exp().sum(1)
    likely = likely / likely.sum(-1, keepdim=True)
    expected = -(likely[0, [1, 2, 5]].log().mean() + likely[1, 0].log()) / 2
    assert torch.isclose(words_loss(scores, bags), expected)


@pytest.mark.parametrize('name', SMALL)
def test_is_open_clips_model(name):
    model = pretrainer(name).eval()
    clip = whole_clip(model, name).eval()
    x = images(name, 2)
    texts = ['a red creature.', 'a creature with leaf ears.']
    with torch.no_grad():
        torch.testing.assert_close(
            model.encode_image(x), clip.encode_image(x), rtol=1e-4, atol=1e-6
        )
        torch.testing.assert_close(
            model.encode_text(texts), clip.encode_text(get_tokenizer(name)(texts), normalize=True)
        )


@pytest.mark.parametrize('name', SMALL)
def test_loss_and_gradients_are_open_clips(name):
    model = pretrainer(name).double()
    clip = whole_clip(model, name).double()
    x = images(name, 4).double()
    texts = [f'a {color} creature.' for color in ('red', 'blue', 'teal', 'pink')]
    losses = model(x, [Sample(text) for text in texts])
    assert losses.keys() == {'loss_contrast'}
    losses['loss_contrast'].backward()
    expected = ClipLoss()(*clip(x, get_tokenizer(name)(texts)))
    expected.backward()
    torch.testing.assert_close(losses['loss_contrast'], expected)
    own = dict(model.named_parameters())
    for key, parameter in clip.named_parameters():
        mine = own[model.own_keys[key]]
        if not mine.requires_grad:
            assert key.endswith('k_proj.bias')
            continue
        torch.testing.assert_close(mine.grad, parameter.grad, rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize('name', SMALL)
def test_words_alone_need_no_pooling(name):
    model = pretrainer(name, contrast=0, words=2)
    assert torch.equal(
        model.word_bags([['a red creature.', 'a creature on sand.']]),
        model.word_bags([['a creature.', 'a creature on red sand.']]),
    )
    size = 64 if name.endswith('rn') else SplitCLIP(name, None).image_size
    x = torch.randn(2, 3, size, size)
    losses = model(x, [Sample('a red creature.'), Sample('a tail.')])
    assert losses.keys() == {'loss_words'}
    losses['loss_words'].backward()
    assert model.word_scores.weight.grad.abs().sum() > 0
    assert all(p.grad is None for p in model.pool.parameters())


def test_bags_hold_the_words_of_all_captions():
    model = pretrainer('creatures-rn', words=1)
    (bag,) = model.word_bags([['a red creature.', 'a creature on sand.']])
    tokenizer = SimpleTokenizer(str(ROOT / 'safe_mm/small_clip/merges.txt.gz'))
    words = {tokenizer.decoder[i].replace('</w>', '') for i in bag.nonzero().flatten().tolist()}
    assert words == {'a', 'red', 'creature', '.', 'on', 'sand'}


@pytest.mark.parametrize('name', SMALL)
def test_tokens_are_clips_own(name):
    """The short list of merges splits the captions' words as the long one."""
    clips, small = SimpleTokenizer(), get_tokenizer(name)
    texts = [
        template.format(kind)
        for part, template in TEMPLATES.items()
        for kind in anatomy.KINDS.get(part, KNOWN_GROUNDS)
    ]
    for text in texts:
        assert [small.decoder[i] for i in small.encode(text)] == [
            clips.decoder[i] for i in clips.encode(text)
        ]
    assert small.decode(small.encode('a zebra!')).strip() == 'a zebra !'
    vocabulary = open_clip.get_model_config(name)['text_cfg']['vocab_size']
    assert small.vocab_size == vocabulary


def test_zero_shot_of_an_oracle():
    """A model that sees the label is right; one that sees noise is not."""
    classes = ('cat', 'dog', 'owl')
    labels = [0, 1, 2, 2, 1, 0, 1, 1]

    class Oracle:
        def encode_text(self, texts):
            return torch.eye(3)[[classes.index(t) for t in texts]]

        def encode_image(self, images):
            return 5 * torch.eye(3)[images]

        def data_preprocessor(self, batch):
            return batch

    class Label:
        def __init__(self, label):
            self.gt_label = torch.tensor([label])

    def loader(seen):
        class Batches(list):
            class dataset:  # noqa: N801
                metainfo = dict(classes=classes, templates='{}')

        return Batches(
            [
                dict(
                    inputs=torch.tensor(seen[i : i + 3]),
                    data_samples=[Label(x) for x in labels[i : i + 3]],
                )
                for i in (0, 3, 6)
            ]
        )

    assert zero_shot(Oracle(), loader(labels)) == (100.0, 0.0)
    assert zero_shot(Oracle(), loader([1] * 8)) == (50.0, 0.0)


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(world, 'COUNTS', dict(train=1, val=1, test=1))


def test_pairs(few, tmp_path):
    cfg = dict(type='safe_mm.CreaturePairs', count=6, data_root=str(tmp_path))
    dataset = DATASETS.build(cfg)
    assert len(dataset) == 6
    first = dataset.get_data_info(0)
    assert len(first['captions']) == world.CAPTIONS
    again = DATASETS.build({**cfg, 'data_root': str(tmp_path / 'b')})
    assert again.get_data_info(0)['captions'] == first['captions']
    other = DATASETS.build({**cfg, 'world_seed': 1})
    assert other.get_data_info(0)['captions'] != first['captions']


def test_recipe_from_words_to_a_file(few, tmp_path):
    """All stages, a resumed run, and a file that SplitCLIP reads."""
    short = [
        '--data-root',
        tmp_path / 'world',
        '--cfg-options',
        'train_dataloader.dataset.count=12',
        'train_dataloader.batch_size=4',
        'train_dataloader.num_workers=0',
        'train_cfg.max_iters=2',
        'default_hooks.checkpoint.interval=1',
        'model.bf16=False',
    ]
    cache = f'default_hooks.feature_cache.root={tmp_path}/cache'
    recipe = ROOT / 'configs' / 'pretrain'
    words, larger, whole = (
        recipe / f'creatures-rn{stage}.py' for stage in ('_words', '_words-160', '')
    )
    run_tool('train', words, '--work-dir', tmp_path / 'words', *short)
    run_tool(
        'train',
        larger,
        '--work-dir',
        tmp_path / 'larger',
        *short,
        f'load_from={tmp_path / "words" / "iter_2.pth"}',
    )
    run_tool(
        'train',
        whole,
        '--work-dir',
        tmp_path / 'whole',
        *short,
        cache,
        f'load_from={tmp_path / "larger" / "iter_2.pth"}',
    )
    first, before, after = (
        weights(tmp_path / stage / 'iter_2.pth') for stage in ('words', 'larger', 'whole')
    )
    key = 'trunk.layer4.0.conv2.weight'
    assert 0 < (first[key] - before[key]).abs().max() < 1e-3  # went on
    assert torch.equal(before[key], after[key])
    assert not torch.equal(before['pool.q_proj.weight'], after['pool.q_proj.weight'])
    scalars = [
        json.loads(line)
        for line in next(tmp_path.glob('whole/*/vis_data/scalars.json')).read_text().split('\n')
        if 'zero_shot' in line
    ]
    assert {'zero_shot/ears', 'prompt_cosine/tail'} <= scalars[-1].keys()

    (tmp_path / 'whole' / 'iter_2.pth').unlink()
    run_tool('train', whole, '--work-dir', tmp_path / 'whole', '--resume', *short, cache)
    again = weights(tmp_path / 'whole' / 'iter_2.pth')
    assert again.keys() == after.keys()

    file = tmp_path / 'clip.safetensors'
    run_tool('export_clip', whole, tmp_path / 'whole' / 'iter_2.pth', file)
    assert all(v.dtype == torch.float16 for v in load_file(file).values())
    split = SplitCLIP('creatures-rn', str(file))
    torch.testing.assert_close(
        split.trunk.state_dict()['layer4.0.conv2.weight'], again[key], rtol=1e-3, atol=1e-6
    )


def test_vit_recipe(few, tmp_path):
    """A config that names another CLIP than its base."""
    recipe = ROOT / 'configs' / 'pretrain'
    run_tool(
        'train',
        recipe / 'creatures-vit_words.py',
        '--work-dir',
        tmp_path,
        '--data-root',
        tmp_path / 'world',
        '--cfg-options',
        'train_dataloader.dataset.count=4',
        'train_cfg.max_iters=1',
        'train_dataloader.batch_size=4',
        'train_dataloader.num_workers=0',
    )
    file = tmp_path / 'clip.safetensors'
    run_tool('export_clip', recipe / 'creatures-vit.py', tmp_path / 'iter_1.pth', file)
    conv = SplitCLIP('creatures-vit', str(file)).trunk.conv1.weight
    torch.testing.assert_close(
        conv, weights(tmp_path / 'iter_1.pth')['trunk.conv1.weight'], rtol=1e-3, atol=1e-6
    )


def test_export_refuses_another_models_weights(trained, tmp_path):
    fails(
        'is not of the model of .*it lacks',
        'export_clip',
        ROOT / 'configs' / 'pretrain' / 'creatures-rn.py',
        next(trained.glob('best_*.pth')),
        tmp_path / 'clip.safetensors',
    )


def test_export_refuses(few, tmp_path):
    config = ROOT / 'configs' / 'pretrain' / 'creatures-rn.py'
    fails('should end in .safetensors', 'export_clip', config, 'x.pth', tmp_path / 'clip.pt')
    fails(
        'does not exist', 'export_clip', config, tmp_path / 'x.pth', tmp_path / 'clip.safetensors'
    )
    fails(
        'does not pretrain a CLIP',
        'export_clip',
        ROOT / 'configs' / 'safe_creatures.py',
        'x.pth',
        tmp_path / 'clip.safetensors',
    )
