"""CoOp: trained context vectors in the place of a prompt's words.

Zhou et al., Learning to Prompt for Vision-Language Models, IJCV 2022.
"""

from typing import Mapping, Optional, Sequence, Union

import torch
from torch import nn

from ..clip import SplitCLIP, get_clip
from ..errors import InputError
from ..registry import MODELS
from .text_tower import TextTowerHead
from .zero_shot import CROSS_ENTROPY, names_of

POSITIONS = ('end', 'middle', 'front')
INIT_STD = 0.02
INIT_SEED = 0


def prompt(name: str, num_tokens: int, position: str, placeholder: str) -> str:
    """A sentence with a placeholder for each context vector.

    Args:
        name (str): Of the class.
        num_tokens (int): M.
        position (str): Of the name: after the context ('end'), in its middle, with M // 2 vectors
            before it ('middle'), or before the context ('front').
        placeholder (str): A word of one token.
    """
    before = dict(end=num_tokens, middle=num_tokens // 2, front=0)[position]
    words = [placeholder] * num_tokens
    return ' '.join([*words[:before], name, *words[before:]]) + '.'


def find_slots(clip: SplitCLIP, names: Sequence[str], num_tokens: int, position: str) -> tuple:
    """Token ids of the prompts, and which context vector replaces which of them.

    Placeholders are where the ids of the same sentence with another placeholder differ.

    Returns:
        tuple[Tensor]: Ids, shape (N, L), and the number of the context vector at each position,
        -1 for none, of the same shape.

    Raises:
        InputError: A prompt is longer than the text encoder's context.
    """
    one, two = (
        clip.tokenize([prompt(name, num_tokens, position, word) for name in names])
        for word in ('x', 'z')
    )
    # A sentence that was cut has lost its period
    shorter = clip.tokenize([prompt(name, num_tokens, position, 'x')[:-1] for name in names])
    differs = one != two
    for name, fits in zip(names, (one != shorter).any(1) & (differs.sum(1) == num_tokens)):
        if not fits:
            raise InputError(
                f'the class {name!r} and {num_tokens} context vectors do not fit into the '
                f"{one.shape[1]} tokens of {clip.name}'s text encoder. Set a smaller "
                'model.head.num_tokens, or shorten the name.'
            )
    return one, torch.where(differs, differs.cumsum(1) - 1, -1)


def word_ids(clip: SplitCLIP, words: str) -> torch.Tensor:
    """Token ids of words, without those of start, end and padding; shape (number, )."""
    own, empty = clip.tokenize([words, ''])
    pad = empty[-1]
    first = int((own != empty).nonzero()[0])
    return own[first : first + int((own != pad).sum() - (empty != pad).sum())]


def assemble(embeddings: torch.Tensor, context: torch.Tensor, slots: torch.Tensor) -> torch.Tensor:
    """Puts context vectors into their places among token embeddings.

    Args:
        embeddings (Tensor): Of the prompts' tokens, shape (n, L, width).
        context (Tensor): v, shared by all prompts, shape (M, width), or of each, shape (n, M,
            width).
        slots (Tensor): Number of the context vector at each position, -1 for none, shape (n, L).

    Returns:
        Tensor: Shape (n, L, width).
    """
    width = embeddings.shape[-1]
    places = slots.clamp(min=0)[..., None].expand(-1, -1, width)
    chosen = context.expand(slots.shape[0], -1, -1).gather(1, places)
    return torch.where(slots[..., None] >= 0, chosen.to(embeddings), embeddings)


@MODELS.register_module()
class CoOpHead(TextTowerHead):
    """Text classifier of prompts ``[v_1] ... [v_M] [class name].`` with trained vectors v.

    Args:
        clip (dict | SplitCLIP): ``model_name`` and ``pretrained``, see
            :class:`safe_mm.clip.SplitCLIP`.
        num_tokens (int, optional): Number M of context vectors; None for as many as ``init`` has
            tokens. Defaults to 16.
        init (str, optional): Words whose embeddings the last vectors start from; others then start
            from zero. None for all at random, N(0, 0.02^2). Defaults to None.
        position (str): Of the class name: 'end', 'middle' or 'front'. Defaults to 'end'.
        class_specific (bool): Whether each class has vectors of its own. Defaults to False.
        classes (Sequence[str] | Mapping[str, list[str]]): Class names. Sentences, if given, are
            those of the zero-shot classifier. Defaults to ().
        loss (dict): Config of the loss. Defaults to cross-entropy.

    Raises:
        InputError: An option is wrong, or a prompt is too long.

    Attributes:
        context (nn.Parameter): v, shape (M, width) or (N, M, width).
        slots (Tensor): See :func:`find_slots`.
        length (int, optional): Number of tokens of the longest prompt.
    """

    trainable: Sequence[str] = ('context',)
    slots: torch.Tensor

    def __init__(
        self,
        clip: Union[dict, SplitCLIP],
        num_tokens: Optional[int] = 16,
        init: Optional[str] = None,
        position: str = 'end',
        class_specific: bool = False,
        classes: Union[Sequence[str], Mapping[str, list]] = (),
        loss: dict = CROSS_ENTROPY,
    ) -> None:
        if position not in POSITIONS:
            raise InputError(f'CoOpHead: position={position!r} should be one of {POSITIONS}.')
        if num_tokens is None and not init or num_tokens is not None and num_tokens < 1:
            raise InputError(
                f'CoOpHead: num_tokens={num_tokens!r} should be at least 1, or None with init.'
            )
        clip, names = get_clip(clip), names_of(classes)
        super().__init__(clip, classes, loss=loss)
        self.text.requires_grad_(False)
        context = self._initial_context(clip, num_tokens, init)
        tokens, slots = self.tokens, self.tokens
        if names:
            tokens, slots = find_slots(clip, names, len(context), position)
        self.register_buffer('tokens', tokens, persistent=False)
        self.register_buffer('slots', slots, persistent=False)
        self.length = self.text.longest(tokens) if names else None
        if class_specific:
            self.class_bound = ('context',)
            context = context.expand(len(names), -1, -1).clone()
        self.context = nn.Parameter(context)

    def _initial_context(
        self, clip: SplitCLIP, num_tokens: Optional[int], init: Optional[str]
    ) -> torch.Tensor:
        if init is None:
            generator = torch.Generator().manual_seed(INIT_SEED)
            shape = num_tokens or 0, self.text.width
            return INIT_STD * torch.randn(shape, generator=generator)
        words = self.text.embed(word_ids(clip, init)).detach()
        missing = (num_tokens or len(words)) - len(words)
        if missing < 0:
            raise InputError(
                f'{type(self).__name__}: init={init!r} has {len(words)} tokens, but num_tokens is '
                f'{num_tokens}. Set num_tokens={len(words)}, or fewer words.'
            )
        return torch.cat([words.new_zeros(missing, self.text.width), words])

    def embeddings(self, context: torch.Tensor) -> torch.Tensor:
        """Context vectors (M, width) or (N, M, width) -> token embeddings (N, L, width)."""
        return assemble(self.text.embed(self.tokens), context, self.slots)

    def encode(self) -> torch.Tensor:
        """W: text features of the prompts, of unit length, shape (N, D)."""
        return self.text.encode(self.tokens, self.embeddings(self.context), self.length)
