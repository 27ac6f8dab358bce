"""CALIP and CALIP-FS against a literal evaluation, and their place in the classifier."""

from math import sqrt

import pytest
import torch
from mmpretrain.structures import DataSample
from torch.nn import functional as F

from safe_mm.errors import InputError
from safe_mm.methods.calip import CALIPFSHead, CALIPHead
from safe_mm.models import JointRuns
from safe_mm.registry import MODELS

from .conftest import TINY_VIT

CLASSES = ['ant', 'bee', 'cow']
CLIP = dict(model_name=TINY_VIT, pretrained=None)
LAYERS = ('query', 'key', 'value', 'post')


def softmax(scores: list) -> list:
    weights = [score.exp() for score in scores]
    return [weight / sum(weights) for weight in weights]


def weighted_sum(weights: list, values: list) -> torch.Tensor:
    return sum(weight * value for weight, value in zip(weights, values))


def literal(head, features: torch.Tensor, layers: dict) -> torch.Tensor:
    """Logits of one image, position and class at a time."""
    texts, rows = list(head.class_weights), []
    places, classes = range(features.shape[1] - 1), range(len(texts))
    for image, *positions in features:
        image = image / image.norm()
        positions = [position / position.norm() for position in positions]
        if layers:
            query, key, value, post = (layers[name] for name in LAYERS)
            root = sqrt(len(query))
            to_place = [[(query @ t) @ (key @ s) / root for s in positions] for t in texts]
            to_class = [[(query @ s) @ (key @ t) / root for t in texts] for s in positions]
            value_s = [value @ s for s in positions]
            value_t = [value @ t for t in texts]
        else:
            post = torch.eye(len(image)).to(image)
            to_place = [[2 * s @ t for s in positions] for t in texts]
            to_class = [[2 * s @ t for t in texts] for s in positions]
            value_s, value_t = positions, texts
        guided = [post @ weighted_sum(softmax(to_place[k]), value_s) for k in classes]
        blended = [post @ weighted_sum(softmax(to_class[p]), value_t) for p in places]
        pooled = sum(blended) / len(blended) + torch.stack(
            [max(position[d] for position in blended) for d in range(len(image))]
        )
        rows.append(
            [
                head.logit_scale
                * (
                    image @ texts[k]
                    + head.beta_2 * image @ guided[k]
                    + head.beta_3 * pooled @ texts[k]
                )
                for k in classes
            ]
        )
    return torch.stack([torch.stack(row) for row in rows])


def make(kind: type, **more):
    """A head in double precision, with text features that have few dimensions."""
    head = kind(CLIP, classes=CLASSES, **more).double()
    generator = torch.Generator().manual_seed(0)
    width = head.class_weights.shape[1]
    features = torch.randn(2, 1 + 4, width, generator=generator, dtype=torch.float64)
    return head, features + head.class_weights[:2, None] * width**0.5


def test_calip_is_its_equations():
    head, features = make(CALIPHead, beta_2=1.3, beta_3=0.7)
    found = head.logits(*head.prepare(features))
    torch.testing.assert_close(found, literal(head, features, {}), rtol=1e-12, atol=1e-12)
    text, guided, blended = head.prepare(features)
    assert torch.equal(text, head.text_logits(features[:, 0]))
    for term in (guided, blended):  # each tells the classes apart
        assert term.std(-1).min() > 1e-3
    many = head.logits(*head.prepare(features.repeat(40, 1, 1)))
    torch.testing.assert_close(many, found.repeat(40, 1))


def test_calip_fs_is_its_equations_with_gradients():
    head, features = make(CALIPFSHead, beta_2=1.3, beta_3=0.7)
    torch.manual_seed(0)
    for name in LAYERS:
        getattr(head, name).data.add_(0.2 * torch.randn(64, 64))
    layers = {name: getattr(head, name).detach().clone().requires_grad_() for name in LAYERS}
    found, expected = head.logits(*head.prepare(features)), literal(head, features, layers)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    labels = torch.tensor([2, 0])
    F.cross_entropy(found, labels).backward()
    F.cross_entropy(expected, labels).backward()
    for name in LAYERS:
        own, theirs = getattr(head, name).grad, layers[name].grad
        assert theirs.abs().max() > 1e-6, name
        torch.testing.assert_close(own, theirs, rtol=1e-9, atol=1e-12, msg=name)


def test_calip_fs_starts_at_zero_shot_and_with_the_attention_of_calip():
    head, features = make(CALIPFSHead, beta_2=1.3, beta_3=0.7)
    free, _ = make(CALIPHead, beta_2=1.3, beta_3=0.7)
    logits = head.logits(*head.prepare(features))
    assert torch.equal(logits, head.text_logits(features[:, 0]))
    F.cross_entropy(logits, torch.tensor([2, 0])).backward()
    assert head.post.grad.abs().max() > 0  # where training sets out
    head.post.data = torch.eye(64).double()
    expected = free.logits(*free.prepare(features))
    torch.testing.assert_close(head.logits(*head.prepare(features)), expected, rtol=1e-6, atol=0)


def build(clip: dict, neck: str = 'CALIPPool', head: str = 'CALIPFSHead'):
    return MODELS.build(
        dict(
            type='safe_mm.CLIPClassifier',
            clip=clip,
            classes=CLASSES,
            neck=dict(type=f'safe_mm.{neck}'),
            head=dict(type=f'safe_mm.{head}'),
        )
    ).eval()


@torch.no_grad()
def test_every_stage_leads_to_the_same_predictions(tiny_clip):
    """The extractor pools as the neck does, so cached features are those of images."""
    model, images = build(tiny_clip, head='CALIPHead'), torch.rand(3, 3, 64, 64)
    dense, pool = model.dense(images), model.neck.attn_pool_o
    h, w = pool.grid(dense)
    pooled = model.extractor('pooled')(images)
    assert model.frozen_stage == 'pooled' and pooled.shape == (3, 1 + h * w, 64)
    torch.testing.assert_close(pooled[:, 0], pool(dense))
    torch.testing.assert_close(pooled[:, 1:], pool.positions(dense))
    expected = model(images)
    zero_shot = model.head.text_logits(pool(dense))
    assert (expected - zero_shot).abs().max() > 0.1
    for start, inputs in (('dense', dense), ('pooled', pooled)):
        torch.testing.assert_close(model(inputs, start=start), expected)
        samples = model(inputs, mode='predict', start=start)
        assert [s.pred_label.item() for s in samples] == expected.argmax(-1).tolist()
        assert [s.figures['zero-shot'] for s in samples] == zero_shot.argmax(-1).tolist()


def test_cache_distinguishes_what_is_pooled(tiny_clip):
    """The weights are those of zero-shot CLIP, the features are not."""
    own, plain = build(tiny_clip), build(tiny_clip, 'CLIPPool', 'TextClsHead')
    assert str(own.extractor('pooled')) != str(plain.extractor('pooled'))
    assert str(own.extractor('dense')) == str(plain.extractor('dense'))


@torch.no_grad()
def test_joint_runs_pool_as_the_neck_and_once(tiny_clip):
    model = build(tiny_clip)
    model.head.post.normal_()
    runs, images = JointRuns(model, [{}] * 3).eval(), torch.rand(2, 3, 64, 64)
    called, positions = [], model.neck.attn_pool_o.positions

    def spy(dense: torch.Tensor) -> torch.Tensor:
        called.append(1)
        return positions(dense)

    model.neck.attn_pool_o.positions = spy
    found = runs.predict(model.dense(images), [DataSample(), DataSample()], 'dense', 0)
    assert len(found) == 3 and len(called) == 1
    for samples in found:
        scores = torch.stack([sample.pred_score for sample in samples])
        torch.testing.assert_close(scores, model(images).softmax(-1))


@pytest.mark.parametrize('neck, head', [('CLIPPool', 'CALIPHead'), ('CALIPPool', 'TextClsHead')])
def test_a_part_that_does_not_fit_is_refused(neck, head):
    with pytest.raises(InputError, match=f'{neck} gives features of .*, {head} takes'):
        build(CLIP, neck, head)
