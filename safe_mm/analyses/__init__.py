"""Pictures of what a model does, each with its numbers. A new one is a file and a line here."""

from .base import Analysis
from .confusions import Confusions
from .correspondence import Correspondence
from .heat_maps import Attention, HeatMaps
from .parts import Parts
from .records import Accuracy, Beta, Prompts

__all__ = [
    'Accuracy',
    'Analysis',
    'Attention',
    'Beta',
    'Confusions',
    'Correspondence',
    'HeatMaps',
    'Parts',
    'Prompts',
]
