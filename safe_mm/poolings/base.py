"""The interface that all pooling layers share."""

from typing import Optional, Sequence, Tuple

import torch
from torch import nn

from ..errors import InputError


class Pooling(nn.Module):
    """Base of pooling layers: dense features -> one vector for each image.

    A subclass takes over the parameters of a pretrained layer. It implements :meth:`split`,
    :meth:`attend` and :meth:`forward`, and derives from :class:`MapPooling` or
    :class:`TokenPooling`. An entry in ``safe_mm.poolings.POOLINGS`` registers it.

    Attributes:
        supports (str): The visual towers it is split from, for messages.
        projection (Sequence[str]): Names of the submodules and parameters after the pooling layer
            proper. SAFE leaves them frozen unless told otherwise.
        without_effect (Sequence[str]): Names of parameters that never change the output. They are
            frozen.
        gives_positions (bool): Whether it implements :meth:`positions`.
        width (int): Channels C of the dense features.
    """

    supports: str
    projection: Sequence[str] = ()
    without_effect: Sequence[str] = ()
    gives_positions: bool = False
    width: int

    @classmethod
    def split(cls, visual: nn.Module) -> Optional[Tuple[nn.Module, 'Pooling']]:
        """Takes the pooling layer off open_clip's visual tower.

        Args:
            visual (nn.Module): The tower. It becomes the trunk: on return, its output is the dense
                features.

        Returns:
            tuple[nn.Module, Pooling]: Trunk and pooling layer, or None, and the tower unchanged, if
            it pools in another way.
        """
        raise NotImplementedError

    def grid(self, dense: torch.Tensor) -> Tuple[int, int]:
        """Rows and columns (h, w) of the patch grid."""
        raise NotImplementedError

    def patch_features(self, dense: torch.Tensor) -> torch.Tensor:
        """The dense features of patches alone, shape (B, h*w, C)."""
        raise NotImplementedError

    def positions(self, dense: torch.Tensor) -> torch.Tensor:
        """What the pooling layer gives with each patch as the query, shape (B, h*w, embed_dim)."""
        raise NotImplementedError

    def take_projection(self) -> nn.Linear:
        """Takes off the last linear layer; what is left returns its input.

        Raises:
            InputError: The pooling layer has none.
        """
        raise InputError(
            f'{type(self).__name__} ends in no linear projection. Use a CLIP with a '
            'ModifiedResNet, a VisionTransformer or an attention pool of timm without timm_proj.'
        )

    def put_projection(self, projection: nn.Linear) -> None:
        """Puts back what :meth:`take_projection` has taken, or another such layer."""
        raise NotImplementedError

    def start_as_mean(self, weight: torch.Tensor, bias: torch.Tensor) -> None:
        """Sets weights with which the layer averages the dense features and projects the mean.

        Args:
            weight (Tensor): Of the projection, shape (embed_dim, C).
            bias (Tensor): Shape (embed_dim, ).

        Raises:
            InputError: The pooling layer cannot average.
        """
        raise InputError(
            f"{type(self).__name__} cannot start as a mean. Use a CLIP with timm_pool 'abs_attn'."
        )

    def attend(self, dense: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor]:
        """Attention of the query token (SAFE, Eq. 2).

        Returns:
            tuple[Tensor, Tensor]: Attention of each head to all tokens, shape (B, H, L), whose rows
            sum to one and whose last h*w tokens are the patches, row by row; and the pooled values,
            shape (B, D).
        """
        raise NotImplementedError

    def attention(self, dense: torch.Tensor) -> torch.Tensor:
        """Attention of each head over the patch grid, shape (B, H, h, w).

        What goes to other tokens (a mean token, a class token, registers) is left out, so the sum
        over the grid is one at most.
        """
        h, w = self.grid(dense)
        weights, _ = self.attend(dense)
        return weights[..., -h * w :].unflatten(-1, (h, w))

    def attention_map(self, dense: torch.Tensor) -> torch.Tensor:
        """How the layer spreads its attention over a picture, (B, h, w), which sums to one.

        The mean over heads of the softmax of Eq. 2, see :meth:`attention`.
        """
        weights = self.attention(dense).mean(1)
        return weights / weights.sum((1, 2), keepdim=True)


class MapPooling(Pooling):
    """Base of poolings whose dense features are maps (B, C, h, w)."""

    def grid(self, dense: torch.Tensor) -> Tuple[int, int]:
        return dense.shape[-2], dense.shape[-1]

    def patch_features(self, dense: torch.Tensor) -> torch.Tensor:
        return dense.flatten(2).transpose(1, 2)

    def with_mean(self, dense: torch.Tensor) -> torch.Tensor:
        """The mean token, then those of the patches, (B, 1 + h*w, C)."""
        x = self.patch_features(dense)
        return torch.cat([x.mean(dim=1, keepdim=True), x], dim=1)


class TokenPooling(Pooling):
    """Base of poolings whose dense features are tokens (B, K + h*w, C).

    Args:
        grid (tuple[int, int]): Rows and columns (h, w) of the patch grid.
        leading (int): Number K of tokens in front of the patches (a class token, registers).
    """

    def __init__(self, grid: Tuple[int, int], leading: int) -> None:
        super().__init__()
        self.grid_size = grid
        self.leading = leading

    def grid(self, dense: torch.Tensor) -> Tuple[int, int]:
        return self.grid_size

    def patch_features(self, dense: torch.Tensor) -> torch.Tensor:
        return dense[:, self.leading :]
