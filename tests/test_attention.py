"""Where pooling layers look, and how much of it falls on a part."""
import torch

from safe_mm.attention import attention_map, attention_share, neck_attention
from safe_mm.clip import split_clip
from safe_mm.registry import MODELS

from .conftest import TINY_RN


def test_attention_map_is_open_clips(tiny_clip):
    """Against the weights that torch's own attention reports."""
    split = split_clip(**tiny_clip)
    torch.manual_seed(0)
    size = split.image_size
    with torch.no_grad():
        features = split.trunk(torch.randn(3, 3, size, size))
        maps = attention_map(split.pool, features)
        x = split.pool.tokens(features)
        if tiny_clip['model_name'] == TINY_RN:
            p = split.pool
            _, expected = torch.nn.functional.multi_head_attention_forward(
                x[:, :1].transpose(0, 1), x.transpose(0, 1),
                x.transpose(0, 1), x.shape[-1], p.num_heads, None,
                torch.cat([p.q_proj.bias, p.k_proj.bias, p.v_proj.bias]),
                None, None, False, 0, p.c_proj.weight, p.c_proj.bias,
                use_separate_proj_weight=True, q_proj_weight=p.q_proj.weight,
                k_proj_weight=p.k_proj.weight, v_proj_weight=p.v_proj.weight)
        else:
            _, expected = split.pool.block.attn(x[:, :1], x, x)
    expected = expected[:, 0, 1:]
    expected = expected / expected.sum(-1, keepdim=True)
    torch.testing.assert_close(maps.flatten(1), expected)


def test_blend_weighs_by_beta(tiny_clip):
    neck = MODELS.build(
        dict(type='safe_mm.BlendedAttentionPool', clip=tiny_clip, beta=3))
    split = split_clip(**tiny_clip)
    size = split.image_size
    with torch.no_grad():
        for parameter in neck.attn_pool_f.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
        maps = neck_attention(neck, split.trunk(torch.randn(2, 3, size, size)))
    assert not torch.allclose(maps['original'], maps['finetuned'])
    torch.testing.assert_close(
        maps['blend'], 0.75 * maps['original'] + 0.25 * maps['finetuned'])
    for spread in maps.values():
        torch.testing.assert_close(spread.sum((1, 2)), torch.ones(2))


def test_attention_share_by_hand():
    maps = torch.tensor([[[0.5, 0.1], [0.4, 0.0]], [[0.0, 0.0], [0.0, 1.0]]])
    masks = torch.zeros(2, 8, 8, dtype=torch.bool)
    masks[:, :4, :2] = True  # half of the first cell
    masks[:, 4:, :] = True  # both lower cells
    torch.testing.assert_close(
        attention_share(maps, masks), torch.tensor([0.25 + 0.4, 1.0]))
