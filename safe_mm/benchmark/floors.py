"""What each part of a CLIP could take at best on a machine."""
from typing import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

from ..clip import split_clip
from .stock import BATCH, random_images, tuned_pool
from .timing import Machine


def operations(function: Callable, inputs: torch.Tensor) -> int:
    """Of matrix products and convolutions; an addition counts as one."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        function(inputs)
    return counter.get_total_flops()


class Floors:
    """Least seconds, by the machine's rate of operations and of copying.

    Args:
        name (str): Of an open_clip architecture.
        machine (Machine): As measured.
    """

    def __init__(self, name: str, machine: Machine) -> None:
        trunk, pool = split_clip(name, None).trunk.eval(), tuned_pool(name)
        image = random_images(name, 1)
        with torch.no_grad():
            features = trunk(image)
        self._machine = machine
        self._trunk_flops = operations(trunk, image)
        self._pool_flops = operations(pool, features)
        self._frozen = 4 * sum(p.numel() for p in trunk.parameters())
        self._trained = 4 * sum(
            p.numel() for p in pool.parameters() if p.requires_grad)

    def pooling(self, images: int = BATCH, passes: int = 1) -> float:
        """Of one pooling layer; three passes are forward and backward."""
        return self._machine.floor(passes * images * self._pool_flops,
                                   passes * self._trained)

    def step(self) -> float:
        """Of training on features that are given."""
        # weights twice, gradient written and read, AdamW's two moments
        return self._machine.floor(3 * BATCH * self._pool_flops,
                                   (3 + 2 + 5) * self._trained)

    def trunk(self, images: int = 1) -> float:
        """Of dense features."""
        return self._machine.floor(images * self._trunk_flops, self._frozen)

    def encoder(self, images: int) -> float:
        """Of dense features and both poolings."""
        return self.trunk(images) + 2 * self.pooling(images)

    def memory(self) -> float:
        """Gigabytes of what is trained, its gradient and two moments."""
        return 4 * self._trained / 1e9
