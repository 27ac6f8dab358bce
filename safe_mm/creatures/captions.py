"""Captions that mention some of a creature's attributes."""

import random
from typing import Dict, List

TEMPLATES = dict(
    ears='a creature with {} ears.',
    tail='a creature with a {} tail.',
    crest='a creature with a {} crest.',
    pattern='a {} creature.',
    legs='a creature with {} legs.',
    color='a {} creature.',
    ground='a creature on {}.',
)
# How often, of 8 long captions, each is mentioned: people name what is large in a picture more
# often than what is small.
MENTIONS = dict(color=5, ground=4, pattern=3, tail=2, crest=2, ears=2, legs=2)


def caption(attributes: Dict[str, str], ground: str, rng: random.Random) -> str:
    """One sentence about a random subset of the attributes.

    Half of the sentences mention one attribute alone, each as often, so that all are learned
    although most of a picture has little to do with them.

    Args:
        attributes (dict): A kind for each of ``anatomy.KINDS``.
        ground (str): What the creature stands on.
        rng (random.Random): Chooses what is mentioned.
    """
    told = dict(attributes, ground=ground)
    if rng.randrange(2):
        name = rng.choice(list(TEMPLATES))
        return TEMPLATES[name].format(told[name])
    said = {name for name in MENTIONS if rng.randrange(8) < MENTIONS[name]}
    adjectives: List[str] = [told[name] for name in ('pattern', 'color') if name in said]
    features = [
        phrase.format(told[name])
        for name, phrase in (
            ('ears', '{} ears'),
            ('crest', 'a {} crest'),
            ('tail', 'a {} tail'),
            ('legs', '{} legs'),
        )
        if name in said
    ]
    sentence = ' '.join(['a', *adjectives, 'creature'])
    if features:
        sentence += ' with ' + ' and '.join(features)
    return sentence + (f' on {ground}.' if 'ground' in said else '.')
