"""Classes of a head: from a checkpoint, missing, other ones, with one name."""

import pytest
import torch

from safe_mm.errors import InputError
from safe_mm.registry import MODELS

from .test_models import BOTH, build


@BOTH
def test_head_takes_classes_from_a_checkpoint(tiny_clip, build):
    trained = build(tiny_clip)
    fresh = build(tiny_clip, classes=())
    fresh.load_state_dict(trained.state_dict())
    assert torch.equal(fresh.head.class_weights, trained.head.class_weights)
    images = torch.rand(2, 3, 64, 64)
    assert torch.equal(fresh.eval()(images), trained.eval()(images))


@pytest.mark.parametrize(
    'kind',
    ['TaskRes', 'CLAP', 'CrossModal', 'GDA', 'LPPlusPlus', 'LinearProbe', 'Cache', 'CLIPCITE'],
)
def test_every_head_takes_the_shapes_of_a_checkpoint(tiny_clip, kind):
    head = MODELS.build(dict(type=f'safe_mm.{kind}Head', clip=tiny_clip, classes=('a', 'b')))
    if head.fits:
        head.fit(torch.randn(4, 64), torch.tensor([0, 1, 0, 1]), torch.arange(4))
    fresh = MODELS.build(dict(type=f'safe_mm.{kind}Head', clip=tiny_clip))
    fresh.load_state_dict(head.state_dict())
    for name, value in head.state_dict().items():
        assert torch.equal(fresh.state_dict()[name], value), name


@BOTH
def test_head_refuses_to_work_without_classes(tiny_clip, build):
    with pytest.raises(InputError, match='has no classes.*model.classes'):
        build(tiny_clip, classes=())(torch.rand(1, 3, 64, 64))


def test_weights_of_other_classes_are_refused(tiny_clip):
    with pytest.raises(InputError, match='does not fit.*head.class_weights'):
        build(tiny_clip).load_state_dict(
            build(tiny_clip, classes=('a', 'b')).state_dict(), strict=False
        )


def test_two_classes_may_have_one_name(tiny_clip):
    """As 'missile' and 'sunglasses' of the published names of ImageNet have."""
    model = build(tiny_clip, classes=('a', 'b', 'a'))
    weights = model.head.class_weights
    assert len(weights) == 3
    torch.testing.assert_close(weights[0], weights[2])
    assert (weights[0] - weights[1]).abs().max() > 1e-3
