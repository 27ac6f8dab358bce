"""The classes of ImageNet and the more general terms of WordNet, in sentences."""

import math
import random
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

import open_clip
from timm.data import ImageNetInfo

from ..errors import InputError

TEMPLATES = ('{}', 'a photo of a {}.', 'a photo of the {}.', 'itap of a {}.', 'a picture of a {}.')
LARGEST = 400  # classes below a term, beyond which it is too vague to be told from a photo
HELD_OUT = 5  # every fifth class, and every fifth term
Group = Union[int, str]  # a class by its index, or a term by its offset in WordNet


class Synset(NamedTuple):
    """A noun of WordNet.

    Attributes:
        words (list[str]): Its synonyms, the usual one first.
        gloss (str): Its definition.
        parent (str): The synset that it is a kind of, '' for the most general.
    """

    words: List[str]
    gloss: str
    parent: str


def read_wordnet(path: Path) -> Dict[str, Synset]:
    """Nouns of WordNet 3.0 by their offsets, the digits of ImageNet's WNIDs.

    Args:
        path (Path): ``data.noun``, in the format of ``man 5 wndb``.

    Raises:
        InputError: It cannot be read, or is of another version.
    """
    try:
        lines = path.read_text(encoding='utf-8').splitlines()
        synsets = dict(_parse(line) for line in lines if line[:1] != ' ')
    except (OSError, ValueError, IndexError) as error:
        raise InputError(
            f'{path} cannot be read as the nouns of WordNet 3.0 (data.noun): {error}'
        ) from None
    missing = [w for w in ImageNetInfo('imagenet-1k').label_names() if w[1:] not in synsets]
    if missing:
        raise InputError(f'{path} is not of WordNet 3.0: it has no noun {missing[0]}.')
    return synsets


def _parse(line: str) -> Tuple[str, Synset]:
    fields, gloss = line.split('|', 1)
    offset, _, _, count, *rest = fields.split()
    end = 2 * int(count, 16)  # words alternate with their numbers
    words = [word.replace('_', ' ') for word in rest[:end:2]]
    pointers = rest[end + 1 :]  # symbol, offset, part of speech, words; after their number
    parents = [pointers[i + 1] for i in range(0, len(pointers), 4) if pointers[i] in ('@', '@i')]
    return offset, Synset(words, gloss.split('; "')[0].strip(), (parents or [''])[0])


class Vocabulary:
    """Sentences that name the 1,000 classes of ImageNet, or groups of them.

    Args:
        wordnet (str): ``data.noun`` of WordNet 3.0, below ``data_root``.
        data_root (str): Defaults to ''.
        general (float): Share of the draws that name groups. Defaults to 0.5.
        held_out (bool): Whether a fifth of the classes and of the terms is never named, to choose
            settings on. Defaults to False.

    Attributes:
        held_out_classes (list[int]): Indices of classes that are never named.
    """

    def __init__(
        self, wordnet: str, data_root: str = '', general: float = 0.5, held_out: bool = False
    ) -> None:
        self.synsets = read_wordnet(Path(data_root).expanduser() / wordnet)
        self.general = general
        self.classes = [w[1:] for w in ImageNetInfo('imagenet-1k').label_names()]
        order = list(range(len(self.classes)))
        random.Random(0).shuffle(order)
        self.held_out_classes = sorted(order[::HELD_OUT]) if held_out else []
        self.named = sorted(set(order) - set(self.held_out_classes))
        self.terms = {c: self._terms_above(self.classes[c]) for c in self.named}
        self.sizes: Dict[str, int] = {}
        for above in self.terms.values():
            for term in above:
                self.sizes[term] = self.sizes.get(term, 0) + 1
        middle = sorted(t for t, size in self.sizes.items() if 3 <= size <= 100)
        self.held_out_terms = set(middle[::HELD_OUT]) if held_out else set()

    def _terms_above(self, offset: str) -> List[str]:
        """The more general terms of a synset, the most general first."""
        above: List[str] = []
        while self.synsets[offset].parent:
            offset = self.synsets[offset].parent
            above.insert(0, offset)
        return above

    def held_out_term(self, label: int) -> Optional[str]:
        """The most special term above a class that was held out."""
        above = self._terms_above(self.classes[label])
        return next((term for term in reversed(above) if term in self.held_out_terms), None)

    def synset(self, group: Group) -> Synset:
        """Of a class or a term."""
        return self.synsets[group if isinstance(group, str) else self.classes[group]]

    def words(self, group: Group) -> List[str]:
        """Names of a class or a term, the usual one first: for a class, that of CLIP's prompts."""
        words = self.synset(group).words
        if isinstance(group, str):
            return words
        name = open_clip.IMAGENET_CLASSNAMES[group]
        return [name, *(word for word in words if word != name)]

    def sentences(self, groups: Sequence[Group], template: str) -> List[str]:
        """One sentence for each class or term, with its usual name."""
        return [template.replace('{}', self.words(group)[0]) for group in groups]

    def draw(self) -> Tuple[List[int], List[str]]:
        """Classes or groups of them, each with a sentence.

        A group is named by a term. The groups of a draw have at most a certain size, of random
        logarithm, and do not overlap.

        Returns:
            tuple[list[int], list[str]]: For each of ``named``, the index of its sentence; and the
            sentences.
        """
        limit = 0.0
        if random.random() < self.general:
            limit = math.exp(random.uniform(0, math.log(LARGEST)))
        groups: Dict[Group, int] = {}
        members = [groups.setdefault(self._group(c, limit), len(groups)) for c in self.named]
        return members, [self._sentence(group) for group in groups]

    def _group(self, label: int, limit: float) -> Group:
        """The most general term of at most ``limit`` classes, or the class itself."""
        for term in self.terms[label]:
            if self.sizes[term] <= limit and term not in self.held_out_terms:
                return term
        return label

    def _sentence(self, group: Group) -> str:
        words = self.words(group)
        if random.random() < 0.25:
            return f'{", ".join(words)}: {self.synset(group).gloss}'
        word = words[0] if random.random() < 0.5 else random.choice(words)
        return random.choice(TEMPLATES).replace('{}', word)
