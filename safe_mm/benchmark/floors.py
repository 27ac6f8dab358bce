"""What each part of a CLIP could take at best on a machine."""

from typing import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

from .stock import BATCH, parts, random_images, tuned_pool
from .timing import Machine


def operations(run: Callable[[], object]) -> int:
    """Of matrix products and convolutions; an addition counts as one.

    Attention is taken apart into its products, since torch does not count those of its fused
    kernels on a CPU.
    """
    fused = torch.backends.cuda.flash_sdp_enabled()  # of processors, too
    torch.backends.cuda.enable_flash_sdp(False)
    try:
        with FlopCounterMode(display=False) as counter:
            run()
    finally:
        torch.backends.cuda.enable_flash_sdp(fused)
    return counter.get_total_flops()


class Floors:
    """Least seconds, by the rates that the machine reaches, and memory.

    Args:
        name (str): Of an open_clip architecture.
        machine (Machine): As measured.
    """

    def __init__(self, name: str, machine: Machine) -> None:
        trunk, pool = parts(name).trunk.eval(), tuned_pool(name)
        image = random_images(name, 1).requires_grad_()  # no fused layers
        features = trunk(image).detach()
        self._machine = machine
        self._trunk_flops = operations(lambda: trunk(image))
        self._pool_flops = operations(lambda: pool(features))
        self._train_flops = operations(lambda: pool(features).sum().backward())
        self._frozen = 4 * sum(p.numel() for p in trunk.parameters())
        self._trained = 4 * sum(p.numel() for p in pool.parameters() if p.requires_grad)

    def pooling(self, images: int = BATCH) -> float:
        """Of one pooling layer, forward."""
        return self._machine.floor(images * self._pool_flops, self._trained)

    def training(self) -> float:
        """Of a forward and a backward pass."""
        # weights read twice, gradient written
        return self._machine.floor(BATCH * self._train_flops, 3 * self._trained)

    def step(self, runs: int = 1) -> float:
        """Of training on features that are given."""
        # and AdamW: gradient read, weights and two moments read and written
        return runs * self._machine.floor(BATCH * self._train_flops, 10 * self._trained)

    def trunk(self, images: int = 1) -> float:
        """Of dense features."""
        return self._machine.floor(images * self._trunk_flops, self._frozen)

    def encoder(self, images: int) -> float:
        """Of dense features and both poolings."""
        return self.trunk(images) + 2 * self.pooling(images)

    def run(self, iterations: int, views: int) -> float:
        """Of dense features, once, and so many steps."""
        return iterations * self.step() + views * self.trunk()

    def memory(self) -> float:
        """Gigabytes of what is trained, its gradient and two moments."""
        return 4 * self._trained / 1e9
