# Fine-tuning of the fourth residual block and the pooling layer, without a
# blend (SAFE, Sec. IV-D2: it overfits). For a ViT, the last two blocks.
#
#   python tools/train.py configs/fine-tune.py --dataset caltech101 \
#       --shots 16 --seed 1 --data-root data
#
# Trains 29,752,320 parameters of RN50 and 14,570,496 of ViT-B/16, whose last
# norm and projection are trained, too. BatchNorms keep their statistics. The
# paper gives no figures, nor the recipe; it is SAFE's here, with few-shot
# validation.
_base_ = './safe.py'

model = dict(
    backbone=dict(type='safe_mm.CLIPTrunk', tune_blocks=1),
    neck=dict(_delete_=True, type='safe_mm.FineTunedPool'),
)
