"""Methods, a file each: necks and heads that a config combines."""

from .calip import CALIPFSHead, CALIPHead, CALIPPool
from .clap import CLAPHead
from .clip_adapter import CLIPAdapter
from .cross_modal import CrossModalHead
from .fine_tune import FineTunedPool
from .gda import GDAHead
from .linear_probe import LinearProbeHead
from .lp_plus_plus import LPPlusPlusHead
from .prolip import ProLIPPool
from .safe import BlendedAttentionPool
from .task_res import TaskResHead
from .tip_adapter import CacheHead
from .zero_shot import CLIPPool, TextClsHead

__all__ = [
    'BlendedAttentionPool',
    'CALIPFSHead',
    'CALIPHead',
    'CALIPPool',
    'CLAPHead',
    'CLIPAdapter',
    'CLIPPool',
    'CacheHead',
    'CrossModalHead',
    'FineTunedPool',
    'GDAHead',
    'LPPlusPlusHead',
    'LinearProbeHead',
    'ProLIPPool',
    'TaskResHead',
    'TextClsHead',
]
