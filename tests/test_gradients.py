"""Losses and gradients of trained methods, in float64, against formulas that are written out."""

import open_clip
import pytest
import torch
from mmpretrain.structures import DataSample

from safe_mm.methods import CLIPAdapter, ProLIPPool, TextClsHead
from safe_mm.methods.clap import CLAPHead
from safe_mm.methods.clip_cite import CLIPCITEHead
from safe_mm.methods.cross_modal import CrossModalHead, draw
from safe_mm.methods.task_res import TaskResHead

from .conftest import TINY_VIT

CLASSES = ['ant', 'bee', 'cow']
CLIP = dict(model_name=TINY_VIT, pretrained=None)
LABELS = torch.tensor([0, 2, 1, 1])
SAMPLES = [DataSample().set_gt_label(int(label)) for label in LABELS]


def unit(x):
    return x / x.square().sum(-1, keepdim=True).sqrt()


def cross_entropy(logits, labels):
    own = logits[torch.arange(len(labels)), labels]
    return (logits.exp().sum(-1).log() - own).mean()


def total(part, features):
    """The loss of a head on features, with its penalties."""
    return sum([*part.loss((features,), SAMPLES).values(), *part.penalties().values()])


@pytest.fixture
def features():
    torch.manual_seed(0)
    return torch.randn(4, 64, dtype=torch.float64)


def move(*parameters):
    """Away from the start, where terms may vanish."""
    for parameter in parameters:
        parameter.data += 0.1 * torch.randn_like(parameter)


def task_res(features):
    head = TaskResHead(CLIP, alpha=0.5, classes=CLASSES).double()
    move(head.residual)
    weights = unit(head.texts + 0.5 * head.residual)
    expected = cross_entropy(head.logit_scale * unit(features) @ weights.T, LABELS)
    return total(head, features), expected, [head.residual]


def zs_lp(features):
    head = CLAPHead(CLIP, constrained=False, classes=CLASSES).double()
    move(head.prototypes)
    logits = head.logit_scale * unit(features) @ unit(head.prototypes).T
    return total(head, features), cross_entropy(logits, LABELS), [head.prototypes]


def clap(features):
    head = CLAPHead(CLIP, classes=CLASSES).double()
    head.fit(features.detach(), LABELS, torch.arange(4))
    head.in_training = True
    move(head.prototypes)
    zero_shot = (head.logit_scale * unit(features.detach()) @ head.class_weights.T).exp()
    zero_shot = zero_shot / zero_shot.sum(-1, keepdim=True)
    expected = cross_entropy(head.logit_scale * unit(features) @ unit(head.prototypes).T, LABELS)
    for k in range(3):
        weight = zero_shot[k == LABELS, k].mean()
        expected = expected + weight * (head.prototypes[k] - head.texts[k]).square().sum() / 3
    return total(head, features), expected, [head.prototypes]


def cross_modal(features, ratio=None):
    head = CrossModalHead(CLIP, ratio=ratio, classes=CLASSES).double()
    move(head.weight)
    picked = draw(0, 4, len(head.texts))
    x = unit(torch.cat([features, head.texts[picked]]))
    parameters = [head.weight]
    if ratio:
        first, second = head.adapter[0].weight, head.adapter[2].weight
        adapted = ((x @ first.T).clamp(min=0) @ second.T).clamp(min=0)
        x = unit(ratio * adapted + (1 - ratio) * x)
        parameters += [first, second]
    labels = torch.cat([LABELS, head.text_labels[picked]])
    expected = cross_entropy(head.scale * x @ head.weight.T, labels)
    return total(head, features), expected, parameters


def cross_modal_adapter(features):
    return cross_modal(features, ratio=0.2)


def clip_adapter(features):
    neck, head = CLIPAdapter(CLIP, ratio=0.2).double(), TextClsHead(CLIP, CLASSES).double()
    first, second = neck.adapter[0].weight, neck.adapter[2].weight
    adapted = ((features @ first.T).clamp(min=0) @ second.T).clamp(min=0)
    mixed = unit(0.2 * adapted + 0.8 * features)
    expected = cross_entropy(head.logit_scale * mixed @ head.class_weights.T, LABELS)
    return total(head, neck.combine(features[None])), expected, [first, second]


def prolip(features):
    neck, head = ProLIPPool(CLIP, shots=4).double(), TextClsHead(CLIP, CLASSES).double()
    move(neck.proj.weight)
    z = torch.randn(4, neck.proj.in_features, dtype=torch.float64)
    projected = z @ neck.proj.weight.T + (0 if neck.proj.bias is None else neck.proj.bias)
    expected = cross_entropy(head.logit_scale * unit(projected) @ head.class_weights.T, LABELS)
    expected = expected + (neck.proj.weight - neck.proj_o.weight).square().sum() / 4
    found = total(head, neck.combine(z[None])) + sum(neck.penalties().values())
    return found, expected, [neck.proj.weight]


def clip_cite(features):
    """Eq. 2, 4 and 5, with CLIP's temperature in each."""
    head = CLIPCITEHead(CLIP, classes=CLASSES).double()
    move(head.weight, head.text.clip.text_projection)
    scale, original = head.logit_scale, torch.randn(4, 64, dtype=torch.float64)
    tokens = open_clip.get_tokenizer(TINY_VIT)([f'a photo of a {name}.' for name in CLASSES])
    trained = unit(head.text.clip.encode_text(tokens))[LABELS]
    s = scale * unit(features) @ trained.T
    o = scale * unit(original) @ head.class_weights[LABELS].T
    expected = cross_entropy(scale * unit(features) @ unit(head.weight).T, LABELS)
    for i in range(4):
        others = [j for j in range(4) if LABELS[j] != LABELS[i]]
        for sums in (s[i, others], s[others, i]):
            expected = expected + 0.7 * (sums.exp().sum().log() - s[i, i]) / 4
        p, q = (row.exp() / row.exp().sum() for row in (s[i], o[i]))
        expected = expected + 0.1 * (p * (p / q).log()).sum() / 4
    found = sum(head.loss((original, features), SAMPLES).values())
    return found, expected, [head.weight, head.text.clip.text_projection]


METHODS = [task_res, zs_lp, clap, cross_modal, cross_modal_adapter, clip_adapter, prolip, clip_cite]


@pytest.mark.parametrize('method', METHODS, ids=lambda method: method.__name__)
def test_loss_and_gradient(method, features):
    features.requires_grad_(method is not prolip)
    found, expected, parameters = method(features)
    torch.testing.assert_close(found, expected)
    parameters += [features] * features.requires_grad
    gradients = (torch.autograd.grad(loss, parameters) for loss in (found, expected))
    for one, two in zip(*gradients):
        assert two.abs().max() > 0
        torch.testing.assert_close(one, two)
