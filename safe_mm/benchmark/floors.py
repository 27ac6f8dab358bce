"""The least time that each part of a CLIP can take on a machine."""

from typing import Callable, List, Tuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from .encoders import BATCH, parts, random_images, tuned_pool
from .timing import compare_seconds

Work = List[Tuple[float, float]]  # operations, and bytes of float32, of each piece


class Machine:
    """The best rates of all measurements: shared machines are slower at times.

    Attributes:
        flops (float): Operations a second in a matrix product.
        bandwidth (float): Bytes a second, read or written, in a copy.
    """

    flops = bandwidth = 0.0

    def measure(self) -> None:
        a, big = torch.randn(1536, 1536), torch.randn(2**25)
        other = torch.empty_like(big)
        took = compare_seconds(dict(matmul=lambda: a @ a, copy=lambda: other.copy_(big)), 9)
        self.flops = max(self.flops, 2 * 1536**3 / took['matmul'])
        self.bandwidth = max(self.bandwidth, 8 * 2**25 / took['copy'])

    def floor(self, work: Work) -> float:
        """Least seconds to do all of the work, one piece after the other."""
        return sum(max(flops / self.flops, size / self.bandwidth) for flops, size in work)


class Costs:
    """The work of the parts of a CLIP with random weights, each for :meth:`Machine.floor`."""

    def __init__(self, name: str) -> None:
        trunk, pool = parts(name).trunk, tuned_pool(name)
        image = random_images(name, 1).requires_grad_()  # no fused layers
        features = trunk(image).detach()
        self.trunk_flops = operations(lambda: trunk(image))
        self.pool_flops = operations(lambda: pool(features))
        self.train_flops = operations(lambda: pool(features).sum().backward())
        self.frozen = 4 * sum(p.numel() for p in trunk.parameters())
        self.trained = 4 * sum(p.numel() for p in pool.parameters() if p.requires_grad)

    def trunk(self, images: int = 1) -> Work:
        return [(images * self.trunk_flops, self.frozen)]

    def pooling(self, images: int = BATCH) -> Work:
        return [(images * self.pool_flops, self.trained)]

    def training(self) -> Work:
        """Forward and backward pass: weights read twice, gradient written."""
        return [(BATCH * self.train_flops, 3 * self.trained)]

    def step(self) -> Work:
        """And AdamW: gradient read, weights and two moments read and written."""
        return [(BATCH * self.train_flops, 10 * self.trained)]


def operations(run: Callable[[], object]) -> int:
    """Of matrix products and convolutions; an addition counts as one.

    Without fused attention, whose operations torch does not count on a CPU.
    """
    fused = torch.backends.cuda.flash_sdp_enabled()  # CPUs included
    torch.backends.cuda.enable_flash_sdp(False)
    try:
        with FlopCounterMode(display=False) as counter:
            run()
    finally:
        torch.backends.cuda.enable_flash_sdp(fused)
    return counter.get_total_flops()
