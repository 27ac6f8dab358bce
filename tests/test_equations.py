"""The equations of GDA, the linear probe and CLIP-Adapter, against independent references."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch.nn import functional as F

from safe_mm.errors import InputError
from safe_mm.methods.clip_adapter import CLIPAdapter, mix
from safe_mm.methods.gda import GDAHead, discriminant
from safe_mm.methods.linear_probe import LinearProbeHead, logistic_regression

CLASSES = ['ant', 'bee', 'cow']


def samples(num_classes=3, views=12, width=5):
    """Separable by halves: features of unit length, and labels."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(num_classes).repeat(views)
    features = torch.randn(len(labels), width, generator=generator, dtype=torch.float64)
    features += 2 * F.one_hot(labels, width)
    return F.normalize(features, dim=-1), labels


def test_discriminant_is_the_ridge_of_the_paper():
    """Sigma^-1 = D ((V - 1) S + tr(S) I)^-1, written out class by class in numpy."""
    features, labels = samples()
    weight, bias = discriminant(features, labels, 3)
    x, y = features.numpy(), labels.numpy()
    means = np.stack([x[y == k].mean(0) for k in range(3)])
    covariance = sum(np.outer(row - means[k], row - means[k]) for row, k in zip(x, y)) / (
        len(x) - 1
    )
    ridge = (len(x) - 1) * covariance + np.trace(covariance) * np.eye(5)
    precision = 5 * np.linalg.inv(ridge)
    np.testing.assert_allclose(weight, means @ precision, rtol=1e-9)
    expected = [-np.log(3) - 0.5 * mean @ precision @ mean for mean in means]
    np.testing.assert_allclose(bias, expected, rtol=1e-9)


def test_gda_needs_views_that_differ():
    features, labels = samples(views=1)
    with pytest.raises(InputError, match='several different views'):
        discriminant(features, labels, 3)


def test_gda_head_adds_alpha_times_the_discriminant(tiny_clip):
    head = GDAHead(tiny_clip, alpha=0.5, classes=CLASSES).double()
    width = head.class_weights.shape[1]
    features, labels = samples(width=width)
    features = 7 * features  # not of unit length
    text = head.text_logits(features)
    head.fit(features, labels, torch.arange(len(labels)))
    weight, bias = discriminant(F.normalize(features, dim=-1), labels, 3)
    expected = text + 0.5 * (F.normalize(features, dim=-1) @ weight.T + bias)
    torch.testing.assert_close(head.logits(*head.prepare(features)), expected)
    head.reset_fit()
    torch.testing.assert_close(head.logits(*head.prepare(features)), text)


@pytest.mark.parametrize('num_classes', [2, 3])
def test_logistic_regression_is_the_minimum(num_classes):
    """scikit-learn's probabilities; for several classes, the objective has no slope left."""
    features, labels = samples(num_classes)
    solver = LogisticRegression(C=2.0, tol=1e-10, max_iter=5000)
    weight, bias = logistic_regression(solver, features.numpy(), labels.numpy())
    assert weight.shape == (num_classes, 5) and bias.shape == (num_classes,)
    logits = features @ torch.from_numpy(weight).T + torch.from_numpy(bias)
    np.testing.assert_allclose(
        logits.softmax(-1), solver.predict_proba(features.numpy()), atol=1e-9
    )
    if num_classes > 2:
        w, b = (torch.from_numpy(t).requires_grad_() for t in (weight, bias))
        loss = F.cross_entropy(features @ w.T + b, labels, reduction='sum')
        (loss + w.square().sum() / (2 * 2.0)).backward()
        assert w.grad.abs().max() < 1e-5 and b.grad.abs().max() < 1e-5


def test_stronger_regularisation_gives_smaller_weights(tiny_clip):
    features, labels = samples()
    norms = []
    for strength in (0.01, 1.0, 100.0):
        head = LinearProbeHead(tiny_clip, C=strength, classes=CLASSES)
        head.weight, head.bias = torch.zeros(3, 5), torch.zeros(3)
        head.fit(features.float(), labels, torch.arange(len(labels)))
        norms.append(head.weight.norm().item())
    assert norms[0] < norms[1] < norms[2]


def test_linear_probe_has_no_text(tiny_clip):
    head = LinearProbeHead(tiny_clip, classes=CLASSES)
    assert len(head.class_weights) == 0 and head.text_logits(torch.randn(2, 4)) is None


def test_clip_adapter_is_a_residual_bottleneck(tiny_clip):
    neck = CLIPAdapter(tiny_clip, ratio=0.2)
    first, second = (m.weight for m in neck.adapter if hasattr(m, 'weight'))
    assert first.shape[0] * 4 == first.shape[1] == second.shape[0]
    features = torch.randn(4, first.shape[1])
    adapted = (second @ (first @ features.T).clamp(min=0)).clamp(min=0).T
    expected = 0.2 * adapted + 0.8 * features
    torch.testing.assert_close(neck.combine(features[None]), expected)
    assert neck.adapter[0].bias is None


def test_mix_at_its_ends():
    adapted, original = torch.randn(2, 3), torch.randn(2, 3)
    assert torch.equal(mix(adapted, original, 0), original)
    assert torch.equal(mix(adapted, original, 1), adapted)
