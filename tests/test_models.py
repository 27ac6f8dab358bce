"""Trunk, necks, heads and classifier against equations and open_clip."""

import copy
import gc

import open_clip
import pytest
import torch
from mmpretrain.structures import DataSample
from torch.nn import functional as F

from safe_mm.clip.architecture import open_clip_name
from safe_mm.errors import InputError
from safe_mm.methods.safe import blend
from safe_mm.methods.zero_shot import text_class_weights, text_logits
from safe_mm.registry import MODELS

from .conftest import TINY_RN, TINY_VIT
from .test_clip_split import open_clip_model

CLASSES = ('red_shape', 'green_shape', 'blue_shape')


def build(clip: dict, neck: dict = None, classes=CLASSES, **head) -> torch.nn.Module:
    """SAFE as a classifier that owns its CLIP."""
    return MODELS.build(
        dict(
            type='safe_mm.CLIPClassifier',
            clip=clip,
            classes=classes,
            neck=dict(type='safe_mm.BlendedAttentionPool', **(neck or {})),
            head=dict(type='safe_mm.TextClsHead', **head),
        )
    )


def build_stock(clip: dict, **head) -> torch.nn.Module:
    """The same parts in mmpretrain's ImageClassifier."""
    return MODELS.build(
        dict(
            type='ImageClassifier',
            data_preprocessor=dict(type='safe_mm.CLIPDataPreprocessor', clip=clip),
            backbone=dict(type='safe_mm.CLIPTrunk', clip=clip),
            neck=dict(type='safe_mm.BlendedAttentionPool', clip=clip),
            head=dict(type='safe_mm.TextClsHead', clip=clip, **{'classes': CLASSES, **head}),
        )
    )


BOTH = pytest.mark.parametrize('build', [build, build_stock])


def zero_shot(clip: dict, images: torch.Tensor) -> torch.Tensor:
    """Zero-shot logits by open_clip's own functions."""
    reference = open_clip_model(clip['model_name'])
    weights = open_clip.build_zero_shot_classifier(
        reference,
        open_clip.get_tokenizer(open_clip_name(clip['model_name'])),
        [name.replace('_', ' ') for name in CLASSES],
        ['a photo of a {}.'],
    )
    with torch.no_grad():
        features = reference.encode_image(images, normalize=True)
        return reference.logit_scale.exp() * features @ weights


@BOTH
@pytest.mark.parametrize('training', [True, False])
def test_iteration_0_is_zero_shot_clip(tiny_clip, training, build):
    """Also in eval mode: 0.5 O + F points where O = F points."""
    images = torch.rand(4, 3, 64, 64)
    model = build(tiny_clip).eval()
    model.neck.train(training)
    with torch.no_grad():
        logits = model(images)
    torch.testing.assert_close(logits, zero_shot(tiny_clip, images), rtol=1e-4, atol=1e-4)


def test_blend_equation():
    original = torch.tensor([[2.0, 0.0]])
    finetuned = torch.tensor([[0.0, 3.0]])
    assert blend(original, finetuned, 0.5).tolist() == [[1.0, 3.0]]
    assert blend(original, finetuned, 0.0).tolist() == [[0.0, 3.0]]


def test_logits_equation():
    """Eq. 4 in float64: 10 * cos of angles known in closed form."""
    features = torch.tensor([[3.0, 4.0], [0.0, 2.0]], dtype=torch.float64)
    weights = torch.tensor([[1.0, 0.0], [0.6, 0.8]], dtype=torch.float64)
    logits = text_logits(features, weights, torch.tensor(10.0).double())
    expected = torch.tensor([[6.0, 10.0], [0.0, 8.0]], dtype=torch.float64)
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-12)


def test_class_weights_average_unit_vectors():
    table = {'a': [1.0, 0.0], 'b': [0.0, 1.0], 'c': [0.6, 0.8]}
    weights = text_class_weights([['a', 'b'], ['c']], lambda t: torch.tensor([table[x] for x in t]))
    expected = torch.tensor([[0.5**0.5, 0.5**0.5], [0.6, 0.8]])
    torch.testing.assert_close(weights, expected)


def perturb(neck: torch.nn.Module) -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in neck.attn_pool_f.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))


def test_training_uses_the_tuned_layer_alone(tiny_clip):
    clip = dict(clip=tiny_clip)
    neck = MODELS.build(dict(type='safe_mm.BlendedAttentionPool', **clip))
    perturb(neck)
    features = MODELS.build(dict(type='safe_mm.CLIPTrunk', **clip)).eval()(torch.rand(2, 3, 64, 64))
    original, tuned = neck.attn_pool_o(features[0]), neck.attn_pool_f(features[0])
    called = []
    neck.attn_pool_o.register_forward_hook(lambda *args: called.append(1))
    torch.testing.assert_close(neck.train()(features)[0], tuned)
    assert not called  # Algorithm 1: O is not evaluated in training
    torch.testing.assert_close(neck.eval()(features)[0], 0.5 * original + tuned)
    assert called


def test_large_beta_predicts_as_the_original(tiny_clip):
    images = torch.rand(16, 3, 64, 64)
    model = build(tiny_clip).eval()
    expected = zero_shot(tiny_clip, images)
    perturb(model.neck)
    with torch.no_grad():
        tuned_far = (model(images) - expected).abs().max()
        model.neck.beta.fill_(1e6)
        torch.testing.assert_close(model(images), expected, rtol=1e-3, atol=1e-3)
    assert tuned_far > 0.05


@pytest.mark.parametrize('start', ['image', 'dense', 'pooled'])
def test_each_stage_leads_to_the_same_predictions(tiny_clip, start):
    """From features of a stage as from the images they are of."""
    model = build(tiny_clip).eval()
    perturb(model.neck)
    images = torch.rand(3, 3, 64, 64)
    with torch.no_grad():
        expected = model(images)
        inputs = images if start == 'image' else model.extractor(start)(images)
        torch.testing.assert_close(model(inputs, start=start), expected)
        samples = model(inputs, mode='predict', start=start)
        pooled = model.extractor('pooled')(images)
    assert pooled.shape == (3, 2, 64)
    for sample, row, (original, tuned) in zip(samples, expected, pooled):
        torch.testing.assert_close(sample.pred_score, row.softmax(0))
        assert len(sample.figures) > 3
        for name, features in (
            ('zero-shot', original),
            ('beta=0', tuned),
            ('beta=2', 2 * original + tuned),
        ):
            logits = model.head.text_logits(features[None])
            assert sample.figures[name] == logits.argmax().item()


def test_what_is_trainable(tiny_clip):
    model = build(tiny_clip)
    for module, prefix in ((model, 'neck.'), (model.neck, '')):
        left = {n for n, p in module.named_parameters() if p.requires_grad}
        assert left and all(name.startswith(f'{prefix}attn_pool_f.') for name in left)
        assert not any('ln_post' in name or name.endswith('.proj') for name in left)
        assert not any('k_proj.bias' in name for name in left)
    assert sorted(model.trainable) == sorted(f'neck.{n}' for n in left)
    assert model.frozen_stage == 'dense'
    model.train()
    assert model.neck.attn_pool_f.training and model.neck.training
    assert not model.backbone.training
    assert not model.neck.attn_pool_o.training


def test_projection_can_be_tuned_too():
    model = build(dict(model_name=TINY_VIT, pretrained=None), neck=dict(tune_projection=True))
    assert {'neck.attn_pool_f.proj', 'neck.attn_pool_f.ln_post.weight'} <= {
        n for n, p in model.named_parameters() if p.requires_grad
    }


def test_components_do_not_share_weights(tiny_clip):
    """Training one model leaves the next one's start as it was."""

    def tensors(model):
        return {**dict(model.named_parameters()), **dict(model.named_buffers())}

    first = build(tiny_clip)
    before = copy.deepcopy(tensors(first))
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.add_(1)
    second = tensors(build(tiny_clip))
    assert second.keys() == before.keys()
    assert all(torch.equal(second[k], v) for k, v in before.items())


@BOTH
def test_predict_and_loss(tiny_clip, build):
    model = build(tiny_clip, topk=(1, 2), cal_acc=True).eval()
    images = torch.rand(2, 3, 64, 64)
    samples = [DataSample().set_gt_label(i) for i in (0, 2)]
    predictions = model(images, copy.deepcopy(samples), mode='predict')
    logits = model(images)
    for sample, row, label in zip(predictions, logits, (0, 2)):
        torch.testing.assert_close(sample.pred_score, row.softmax(0))
        assert sample.pred_label.item() == row.argmax().item()
        assert sample.gt_label.item() == label
    losses = model(images, samples, mode='loss')
    torch.testing.assert_close(
        losses['loss'], F.cross_entropy(logits, torch.tensor([0, 2])), rtol=1e-4, atol=1e-4
    )
    assert {'accuracy_top-1', 'accuracy_top-2'} <= losses.keys()


@BOTH
def test_text_encoder_is_dropped(tiny_clip, build):

    def encoders() -> int:
        gc.collect()
        return sum(type(o) is open_clip.CLIP for o in gc.get_objects())

    before = encoders()
    model = build(tiny_clip)
    assert encoders() == before
    assert len(model.head.class_weights) == 3


def test_frozen_weights_are_left_out_and_verified(tiny_clip):
    trained, fresh, other = (build(tiny_clip) for _ in range(3))
    perturb(trained.neck)
    state = trained.state_dict()
    whole = sum(p.numel() for p in trained.parameters())
    assert sum(value.numel() for value in state.values()) < whole / 2
    fresh.load_state_dict(state)
    images = torch.rand(2, 3, 64, 64)
    assert torch.equal(fresh.eval()(images), trained.eval()(images))
    with torch.no_grad():
        next(other.backbone.parameters()).add_(1e-3)
    with pytest.raises(InputError, match='other frozen weights than .*tiny'):
        other.load_state_dict(state)


def test_a_hyperparameter_is_saved_once_it_was_chosen(tiny_clip):
    """Until then, that of the config holds."""
    model = build(tiny_clip, neck=dict(beta=2))
    assert 'neck.beta' not in model.state_dict()
    fresh = build(tiny_clip)
    fresh.load_state_dict(model.state_dict())
    assert fresh.neck.beta == 0.5
    model.neck.choose('beta', 0.25)
    fresh.load_state_dict(model.state_dict())
    assert fresh.neck.beta == 0.25 == fresh.state_dict()['neck.beta']


@BOTH
def test_wrong_image_size(tiny_clip, build):
    with pytest.raises(InputError, match='64 x 64.*224'):
        build(tiny_clip)(torch.rand(1, 3, 224, 224))


@pytest.mark.parametrize(
    'kind', ['CLIPTrunk', 'BlendedAttentionPool', 'TextClsHead', 'CLIPDataPreprocessor']
)
def test_rebuild_from_a_copied_config(tiny_clip, kind):
    cfg = dict(type=f'safe_mm.{kind}', clip=tiny_clip)
    first = MODELS.build(copy.deepcopy(cfg)).state_dict()
    second = MODELS.build(copy.deepcopy(cfg)).state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[k], second[k]) for k in first)


RESNET18 = dict(type='ResNet', depth=18)  # 512 channels, as the small CLIP's


@pytest.mark.parametrize(
    'parts',
    [
        dict(
            backbone=dict(type='safe_mm.CLIPTrunk'),
            neck=dict(type='GlobalAveragePooling'),
            head=dict(type='LinearClsHead', num_classes=3, in_channels=512),
        ),
        dict(
            backbone=RESNET18,
            neck=dict(type='safe_mm.BlendedAttentionPool'),
            head=dict(type='LinearClsHead', num_classes=3, in_channels=64),
        ),
        dict(
            backbone=RESNET18,
            neck=[
                dict(type='GlobalAveragePooling'),
                dict(type='LinearNeck', in_channels=512, out_channels=64),
            ],
            head=dict(type='safe_mm.TextClsHead', classes=CLASSES),
        ),
    ],
    ids=['backbone', 'neck', 'head'],
)
def test_each_component_works_alone(parts):
    parts = copy.deepcopy(parts)
    for part in parts.values():
        if 'safe_mm' in str(part):
            part['clip'] = dict(model_name=TINY_RN, pretrained=None)
    necks = parts.get('neck')
    if isinstance(necks, list):
        parts['neck'] = torch.nn.Sequential(*map(MODELS.build, necks))
    model = MODELS.build(dict(type='ImageClassifier', **parts))
    samples = [DataSample().set_gt_label(i) for i in (0, 2)]
    loss = model.loss(torch.rand(2, 3, 64, 64), samples)['loss']
    loss.backward()
    assert loss.isfinite()
    assert len(model.predict(torch.rand(2, 3, 64, 64))) == 2
