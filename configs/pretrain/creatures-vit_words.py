# Small ViT CLIP on drawn creatures, stage 1 of 2: the image encoder learns the
# words of the captions. It takes twice as long as the ResNet, in two runs:
#
#   python tools/train.py configs/pretrain/creatures-vit_words.py --seed 1
#   python tools/train.py configs/pretrain/creatures-vit_words.py --seed 1 \
#       --work-dir work_dirs/creatures-vit_words/again --cfg-options \
#       load_from=work_dirs/creatures-vit_words/seed1/iter_3600.pth
_base_ = './creatures-rn_words.py'

model = dict(clip=dict(model_name='creatures-vit'))
optim_wrapper = dict(optimizer=dict(lr=1e-3))
