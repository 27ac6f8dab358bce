"""Saves a pretrained CLIP for open_clip, without what packages bring:
python tools/export_clip.py CONFIG CHECKPOINT OUT.safetensors
"""

from argparse import ArgumentParser
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import init_default_scope
from safetensors.torch import save_file

from safe_mm.checkpoint import read_checkpoint
from safe_mm.clip.parts import read_parts
from safe_mm.config import find_config
from safe_mm.errors import InputError, exit_cleanly
from safe_mm.files import new_file
from safe_mm.registry import MODELS


def main() -> None:
    parser = ArgumentParser(description='Save a pretrained CLIP for open_clip')
    parser.add_argument('config', help='config it was trained with')
    parser.add_argument('checkpoint', help='iter_*.pth of that training')
    parser.add_argument('out', type=Path, help='file, ends in .safetensors')
    args = parser.parse_args()
    if args.out.suffix != '.safetensors':
        raise InputError(f'{args.out} should end in .safetensors.')
    cfg = Config.fromfile(find_config(args.config))
    if not str(cfg.model.type).endswith('CLIPPretrainer'):
        raise InputError(
            f'{args.config} does not pretrain a CLIP: its model is a {cfg.model.type}.'
        )
    init_default_scope(cfg.default_scope)
    cfg.model.update(words=0, posterior=0)  # whose data is not needed here
    model = MODELS.build(cfg.model)
    found = model.load_state_dict(read_checkpoint(args.checkpoint)['state_dict'], strict=False)
    # Frozen biases without effect, zero by construction, are not saved
    known = {f'pool.{key}' for key in model.pool.without_effect}
    state = model.open_clip_state_dict()
    packaged = set(read_parts(cfg.model.clip.model_name, list(state)))
    known |= {model.own_keys[key] for key in packaged}
    lacks = [k for k in found.missing_keys if k not in known]
    if lacks:
        raise InputError(
            f'{args.checkpoint} is not of the model of {args.config}: it lacks {lacks[0]} and '
            f'{len(lacks) - 1} more tensors.'
        )
    state = {key: value for key, value in state.items() if key not in packaged}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with new_file(args.out) as draft:
        save_file({key: value.half() for key, value in state.items()}, draft)
    print(f'{args.out}: {len(state)} tensors in float16, {args.out.stat().st_size / 1e6:.1f} MB')


if __name__ == '__main__':
    with exit_cleanly():
        main()
