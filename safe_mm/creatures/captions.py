"""Captions that mention some of a creature's attributes."""
import random
from typing import Dict, List

TEMPLATES = dict(
    ears='a creature with {} ears.',
    tail='a creature with a {} tail.',
    pattern='a {} creature.',
    legs='a creature with {} legs.',
    color='a {} creature.')


def caption(attributes: Dict[str, str], ground: str,
            rng: random.Random) -> str:
    """One sentence about a random subset of the attributes.

    Half of the sentences mention a single attribute, so that each is learned
    although most of a picture has little to do with it.

    Args:
        attributes (dict): A kind for each of ``anatomy.KINDS``.
        ground (str): What the creature stands on.
        rng (random.Random): Chooses what is mentioned.
    """
    if rng.randrange(2):
        name = rng.choice(list(TEMPLATES))
        return TEMPLATES[name].format(attributes[name])
    said = {name for name in (*TEMPLATES, 'ground') if rng.randrange(2)}
    adjectives: List[str] = [
        attributes[name] for name in ('pattern', 'color') if name in said
    ]
    features = [
        phrase.format(attributes[name])
        for name, phrase in (('ears', '{} ears'), ('tail', 'a {} tail'),
                             ('legs', '{} legs')) if name in said
    ]
    sentence = ' '.join(['a', *adjectives, 'creature'])
    if features:
        sentence += ' with ' + ' and '.join(features)
    return sentence + (f' on {ground}.' if 'ground' in said else '.')
