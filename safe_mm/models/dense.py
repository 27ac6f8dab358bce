"""Dense features F = G(x), as trunks give them."""
from typing import Sequence, Union

import torch


def is_dense(inputs: torch.Tensor) -> bool:
    """Whether a batch holds dense features already, not images."""
    return inputs.dim() != 4 or inputs.shape[1] != 3


def last(features: Union[torch.Tensor, Sequence[torch.Tensor]]
         ) -> torch.Tensor:
    """Of several outputs of a trunk, the last, as mmpretrain's necks take."""
    return features[-1] if isinstance(features, (tuple, list)) else features
