# Zero-shot, the small ResNet CLIP and drawn creatures of the package.
#
#   python tools/test.py configs/zero_shot/zero-shot_creatures-rn.py \
#       --cfg-options task=ears
_base_ = [
    '../_base_/models/clip_rn50.py',
    '../_base_/datasets/creatures.py',
    '../_base_/schedules/test_only.py',
    '../_base_/default_runtime.py',
]
clip = dict(model_name='creatures-rn', pretrained='seed1')

train_dataloader = None
val_dataloader = None
val_evaluator = None
