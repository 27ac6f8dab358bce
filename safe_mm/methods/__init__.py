"""Methods, a file each: necks and heads that a config combines."""

from .calip import CALIPFSHead, CALIPHead, CALIPPool
from .clap import CLAPHead
from .clip_adapter import CLIPAdapter
from .clip_cite import CLIPCITEHead
from .clip_svd import SingularValues
from .cocoop import CoCoOpHead
from .coop import CoOpHead
from .cross_modal import CrossModalHead
from .fine_tune import FineTunedPool
from .gda import GDAHead
from .linear_probe import LinearProbeHead, MeanPool
from .lora import LoRA
from .lp_plus_plus import LPPlusPlusHead
from .prograd import ProGradHead
from .prolip import ProLIPPool
from .safe import BlendedAttentionPool
from .task_res import TaskResHead
from .text_tower import TextTowerHead
from .tip_adapter import CacheHead
from .zero_shot import CLIPPool, TextClsHead

__all__ = [
    'BlendedAttentionPool',
    'CALIPFSHead',
    'CALIPHead',
    'CALIPPool',
    'CLAPHead',
    'CLIPAdapter',
    'CLIPCITEHead',
    'CLIPPool',
    'CacheHead',
    'CoCoOpHead',
    'CoOpHead',
    'CrossModalHead',
    'FineTunedPool',
    'GDAHead',
    'LPPlusPlusHead',
    'LinearProbeHead',
    'LoRA',
    'MeanPool',
    'ProGradHead',
    'ProLIPPool',
    'SingularValues',
    'TaskResHead',
    'TextClsHead',
    'TextTowerHead',
]
