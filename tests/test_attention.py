"""Where pooling layers look, and how much of it falls on a part."""

import torch

from safe_mm.attention import attention_share
from safe_mm.clip import SplitCLIP
from safe_mm.registry import MODELS

from .conftest import TINY_RN


def test_attention_map_is_open_clips(tiny_clip):
    """Against the weights that torch's own attention reports."""
    split = SplitCLIP(**tiny_clip)
    torch.manual_seed(0)
    size = split.image_size
    with torch.no_grad():
        features = split.trunk(torch.randn(3, 3, size, size))
        maps = split.pool.attention_map(features)
        if tiny_clip['model_name'] == TINY_RN:
            p = split.pool
            x = p.tokens(features)
            _, expected = torch.nn.functional.multi_head_attention_forward(
                x[:, :1].transpose(0, 1),
                x.transpose(0, 1),
                x.transpose(0, 1),
                x.shape[-1],
                p.num_heads,
                None,
                torch.cat([p.q_proj.bias, p.k_proj.bias, p.v_proj.bias]),
                None,
                None,
                False,
                0,
                p.c_proj.weight,
                p.c_proj.bias,
                use_separate_proj_weight=True,
                q_proj_weight=p.q_proj.weight,
                k_proj_weight=p.k_proj.weight,
                v_proj_weight=p.v_proj.weight,
            )
        else:
            x = split.pool.block.ln_1(features)
            _, expected = split.pool.block.attn(x[:, :1], x, x)
    expected = expected[:, 0, 1:]
    expected = expected / expected.sum(-1, keepdim=True)
    torch.testing.assert_close(maps.flatten(1), expected)


def test_combined_map_weighs_by_beta(tiny_clip):
    model = MODELS.build(
        dict(
            type='safe_mm.CLIPClassifier',
            clip=tiny_clip,
            neck=dict(type='safe_mm.BlendedAttentionPool', beta=3),
            head=dict(type='safe_mm.TextClsHead'),
            classes=['a', 'b'],
        )
    ).eval()
    with torch.no_grad():
        for parameter in model.neck.attn_pool_f.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
        maps = model.neck.attention_maps(model.dense(torch.randn(2, 3, 64, 64)))
    assert list(maps) == ['attn_pool_o', 'attn_pool_f', 'combined']
    original, finetuned, combined = maps.values()
    assert not torch.allclose(original, finetuned)
    torch.testing.assert_close(combined, 0.75 * original + 0.25 * finetuned)
    for spread in maps.values():
        torch.testing.assert_close(spread.sum((1, 2)), torch.ones(2))


def test_attention_share_by_hand():
    maps = torch.tensor([[[0.5, 0.1], [0.4, 0.0]], [[0.0, 0.0], [0.0, 1.0]]])
    masks = torch.zeros(2, 8, 8, dtype=torch.bool)
    masks[:, :4, :2] = True  # half of the first cell
    masks[:, 4:, :] = True  # both lower cells
    torch.testing.assert_close(attention_share(maps, masks), torch.tensor([0.25 + 0.4, 1.0]))


def test_attention_share_off_the_square():
    maps = torch.tensor([[[0.5, 0.1, 0.0], [0.2, 0.0, 0.2]]])
    masks = torch.zeros(1, 4, 6, dtype=torch.bool)
    masks[:, 2:, 4:] = True  # the last cell
    masks[:, :1, :2] = True  # half of the first
    torch.testing.assert_close(attention_share(maps, masks), torch.tensor([0.25 + 0.2]))
