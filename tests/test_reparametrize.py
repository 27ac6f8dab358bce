"""LoRA, singular values and CLIP-CITE, against literal equations."""

from math import log, sqrt

import numpy as np
import pytest
import torch
from mmpretrain.structures import DataSample
from torch.nn import functional as F

from safe_mm.errors import InputError
from safe_mm.methods.clip_cite import CLIPCITEHead, contrast_other_classes, distance_to_original
from safe_mm.methods.clip_svd import SingularValues
from safe_mm.methods.lora import LoRA, low_rank
from safe_mm.models.reparametrize import merge_weights
from safe_mm.registry import MODELS

from .conftest import TINY

CLASSES = ['ant', 'red_bee', 'cow']


def build(kind, reparametrize):
    return MODELS.build(
        dict(
            type='safe_mm.CLIPClassifier',
            clip=dict(model_name=TINY.get(kind, kind), pretrained=None),
            classes=CLASSES,
            neck=dict(type='safe_mm.FineTunedPool'),
            head=dict(type='safe_mm.TextTowerHead'),
            reparametrize=reparametrize,
        )
    )


def disturb(model):
    """Gives what is trained other values."""
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in model.trainable:
                parameter += 0.1 * torch.randn_like(parameter)


def test_lora_is_w_plus_scaled_b_a():
    """Of three weights in one tensor, in float64, with its gradient."""
    torch.manual_seed(0)
    weight = torch.randn(12, 5, dtype=torch.float64)
    lora = LoRA(weight, 3, rank=2, alpha=1.5, dropout=0)
    assert lora.down.abs().max() <= 1 / sqrt(5)
    assert torch.equal(lora(weight), weight)
    lora.up.data.normal_()
    x = torch.randn(7, 5, dtype=torch.float64)
    outputs = []
    for k, own in enumerate(weight.split(4)):
        update = torch.einsum('or,ri->oi', lora.up[k], lora.down[k])
        outputs.append(x @ own.T + 1.5 / sqrt(2) * x @ update.T)
    expected, found = torch.cat(outputs, dim=1), x @ lora(weight).T
    torch.testing.assert_close(found, expected)
    for one, two in zip(
        torch.autograd.grad(found.square().sum(), [lora.down, lora.up]),
        torch.autograd.grad(expected.square().sum(), [lora.down, lora.up]),
    ):
        torch.testing.assert_close(one, two)
    assert low_rank(lora.down, lora.up).shape == weight.shape


def test_lora_drops_inputs_in_training_alone():
    """A column is dropped or scaled as a whole; a repeated step drops the same."""
    lora = LoRA(torch.zeros(8, 400), 1, dropout=0.25)
    lora.up.data.fill_(1)
    whole = lora.eval()(torch.zeros(8, 400))
    first, second = lora.train()(torch.zeros(8, 400)), lora(torch.zeros(8, 400))
    ratio = (first / whole)[0]
    dropped = ratio == 0
    torch.testing.assert_close(
        ratio[~dropped], torch.full_like(ratio[~dropped], 4 / 3), rtol=1e-3, atol=0
    )
    assert dropped.float().mean().item() == pytest.approx(0.25, abs=0.06)
    assert not torch.equal(first, second)
    lora.step.fill_(0)
    assert torch.equal(lora(torch.zeros(8, 400)), first)


def test_singular_values_are_those_of_numpy():
    """U diag(sigma) V^T of each weight in a tensor, with its gradient."""
    torch.manual_seed(0)
    weight = torch.randn(12, 6, dtype=torch.float64)
    svd = SingularValues(weight, 3)
    torch.testing.assert_close(svd(weight), weight, rtol=0, atol=0)
    factor = torch.rand(3, 4, dtype=torch.float64)
    svd.sigma.data *= factor
    found = svd(weight)
    grad = torch.randn_like(weight)
    (sigma_grad,) = torch.autograd.grad((grad * found).sum(), svd.sigma)
    for k, own in enumerate(weight.split(4)):
        left, sigma, right = np.linalg.svd(own.numpy(), full_matrices=False)
        expected = left @ np.diag(sigma * factor[k].numpy()) @ right
        np.testing.assert_allclose(found[4 * k : 4 * k + 4].detach().numpy(), expected)
        literal = [left[:, i] @ grad[4 * k : 4 * k + 4].numpy() @ right[i] for i in range(4)]
        np.testing.assert_allclose(sigma_grad[k].numpy(), literal)


@pytest.mark.parametrize('kind', TINY)
@pytest.mark.parametrize('method', ['LoRA', 'SingularValues'])
def test_equal_to_clip_at_the_start_and_after_merging(kind, method):
    """On whole images; what was trained does change the logits."""
    images = torch.rand(2, 3, 64, 64)
    plain = build(kind, None).eval()(images)
    model = build(kind, dict(type=f'safe_mm.{method}')).eval()
    torch.testing.assert_close(model(images), plain, rtol=1e-4, atol=1e-4)
    disturb(model)
    trained = model(images)
    assert not torch.allclose(trained, plain, rtol=1e-2)
    names = set(dict(merge_weights(model).named_parameters()))
    assert not any('parametrizations' in name for name in names)
    torch.testing.assert_close(model(images), trained, rtol=1e-4, atol=1e-4)
    own = build(kind, None).eval()
    own.load_state_dict(model.state_dict())
    torch.testing.assert_close(own(images), trained, rtol=1e-4, atol=1e-4)


def test_each_layer_drops_inputs_of_its_own():
    """And merging in training drops none."""
    model = build('ViT', dict(type='safe_mm.LoRA', dropout=0.5))
    parts = [m for m in model.modules() if isinstance(m, LoRA)]
    changes = []
    for part in parts:
        for parameter in part.parameters():
            parameter.data.fill_(1)
        changes.append(part.train()(torch.zeros(part.up[:, :, 0].numel(), part.down.shape[-1])))
    same = [torch.equal(a, b) for a, b in zip(changes, changes[1:]) if a.shape == b.shape]
    assert same and not any(same)
    layer = next(m for m in model.modules() if hasattr(m, 'parametrizations'))
    whole = layer.eval().in_proj_weight.detach().clone()
    model.train()
    merge_weights(model)
    torch.testing.assert_close(layer.in_proj_weight, whole)


@pytest.mark.parametrize('wrong', [dict(rank=0), dict(dropout=1)])
def test_wrong_options_of_lora_are_refused(wrong):
    with pytest.raises(InputError, match='LoRA: rank=.* should be at least 1'):
        LoRA(torch.zeros(4, 4), 1, **wrong)


def test_both_towers_are_updated():
    """Each attention layer has an update of queries, keys and values."""
    model = build('ViT', dict(type='safe_mm.LoRA', rank=3))
    towers = ('backbone.trunk.', 'neck.attn_pool_f.', 'head.text.')
    assert all(any(name.startswith(t) for name in model.trainable) for t in towers)
    sizes = {n: p.shape for n, p in model.named_parameters() if n.endswith('0.down')}
    attention = [m for m in model.modules() if isinstance(m, torch.nn.MultiheadAttention)]
    assert len(sizes) == len(attention)
    assert all(shape[:2] == (3, 3) for shape in sizes.values())
    only = dict(type='safe_mm.LoRA', patterns=['backbone.*.in_proj_weight'])
    assert all(name.startswith('backbone.') for name in build('ViT', only).trainable)
    with pytest.raises(InputError, match='no weight that the parts let train has a name like noth'):
        build('ViT', dict(type='safe_mm.LoRA', patterns=['nothing']))


@pytest.mark.parametrize(('method', 'number'), [('LoRA', 184320), ('SingularValues', 92160)])
def test_published_number_of_parameters(method, number, monkeypatch):
    """Of ViT-B/16; the values of the decomposition play no part."""

    def parts(weight, full_matrices):
        k = min(weight.shape[1:])
        shapes = (*weight.shape[:2], k), (len(weight), k), (len(weight), k, weight.shape[2])
        return [weight.new_zeros(shape) for shape in shapes]

    monkeypatch.setattr(torch.linalg, 'svd', parts)
    model = build('ViT-B-16', dict(type=f'safe_mm.{method}'))
    sizes = {name: p.numel() for name, p in model.named_parameters()}
    assert sum(sizes[name] for name in model.trainable) == number


def test_contrast_and_distance_equal_their_sums():
    """Eq. 4 and 5 of CLIP-CITE, term by term."""
    torch.manual_seed(0)
    s, o = torch.randn(2, 4, 4, dtype=torch.float64)
    labels = [0, 1, 0, 2]
    expected = 0
    for i in range(4):
        others = [j for j in range(4) if labels[j] != labels[i]]
        expected -= log(s[i, i].exp() / sum(s[i, j].exp() for j in others)) / 4
        expected -= log(s[i, i].exp() / sum(s[j, i].exp() for j in others)) / 4
    found = contrast_other_classes(s, torch.tensor(labels))
    assert found.item() == pytest.approx(expected)
    distance = 0
    for i in range(4):
        p, q = s[i].softmax(0), o[i].softmax(0)
        distance += sum(p[j] * log(p[j] / q[j]) for j in range(4)).item() / 4
    assert distance_to_original(s, o).item() == pytest.approx(distance)
    assert contrast_other_classes(s, torch.zeros(4)).item() == 0


@pytest.mark.parametrize('scale', [None, 1])
def test_cite_adds_its_losses(scale):
    """With their weights, of the trained and the unchanged CLIP's features."""
    torch.manual_seed(0)
    clip = dict(model_name=TINY['ViT'], pretrained=None)
    head = CLIPCITEHead(clip, scale, classes=CLASSES).double()
    original, features = torch.randn(2, 4, 64, dtype=torch.float64)
    labels = torch.tensor([0, 1, 2, 1])
    found = head.loss((original, features), [DataSample().set_gt_label(int(y)) for y in labels])
    f, o = (F.normalize(x, dim=-1) for x in (features, original))
    factor = head.logit_scale.item() if scale is None else scale
    texts = head.class_weights[labels]
    expected = dict(
        loss=F.cross_entropy(factor * f @ head.class_weights.T, labels),
        loss_contrast=0.7 * contrast_other_classes(factor * f @ texts.T, labels),
        loss_distance=0.1
        * distance_to_original(head.logit_scale * f @ texts.T, head.logit_scale * o @ texts.T),
    )
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-6)
    sum(found.values()).backward()
    assert head.weight.grad.abs().sum() > 0
    assert head.text.clip.text_projection.grad.abs().sum() > 0


def test_cite_encodes_the_classes_of_a_batch_alone():
    """Each once, with the features that all classes together would give."""
    clip = dict(model_name=TINY['ViT'], pretrained=None)
    sentences = dict(ant=['an ant', 'one ant'], bee=['a bee'], cow=['a cow', 'one cow'])
    head, seen = CLIPCITEHead(clip, classes=sentences), []
    torch.testing.assert_close(head.encode_classes([2, 0]), head.encode()[[2, 0]])
    head.text.register_forward_hook(lambda module, x, out: seen.append(len(x[0])))
    features = torch.randn(2, 3, 64)
    head.loss(features, [DataSample().set_gt_label(y) for y in (2, 0, 2)])
    assert seen == [4]


def test_original_stays_beside_the_trained_clip():
    """The classifier hands both features to a head that asks for them."""
    model = MODELS.build(
        dict(
            type='safe_mm.CLIPClassifier',
            clip=dict(model_name=TINY['ResNet'], pretrained=None),
            classes=CLASSES,
            neck=dict(type='safe_mm.FineTunedPool'),
            head=dict(type='safe_mm.CLIPCITEHead'),
            trainable=['backbone.*', 'neck.*', 'head.text.*', 'head.weight'],
        )
    )
    images, seen = torch.rand(2, 3, 64, 64), []
    model.head.loss = lambda feats, samples: seen.append(feats) or {}
    model(images, [], mode='loss')
    torch.testing.assert_close(*seen[0])
    disturb(model)
    model(images, [], mode='loss')
    assert torch.equal(seen[1][0], seen[0][0])
    assert not torch.allclose(*seen[1], rtol=1e-2)
    assert not any(
        name.startswith('original.') and 'sha256' not in name for name in model.state_dict()
    )
