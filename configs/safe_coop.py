# SAFE and CoOp at once: the pooling layer and four context vectors are trained.
#
#   python tools/train.py configs/safe_coop.py --dataset caltech101 --shots 16 \
#       --seed 1 --data-root data
#
# Trains 14,789,632 parameters of RN50 and 7,089,920 of ViT-B/16, by SAFE's
# schedule and selection; the context vectors, which start from "a photo of a",
# at a hundred times its rate. There are no published figures.
_base_ = './safe.py'

model = dict(
    head=dict(_delete_=True, type='safe_mm.CoOpHead', num_tokens=None, init='a photo of a')
)
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(context=dict(lr_mult=100))))
grid = dict(_delete_=True)  # two rates are not trained side by side
