# Small ViT CLIP on drawn creatures, stage 2 of 2: pooling layer and text
# encoder learn to match pictures and captions, on the image encoder's cached
# features.
#
#   python tools/train.py configs/pretrain/creatures-vit.py --seed 1
_base_ = './creatures-rn.py'

model = dict(clip=dict(model_name='creatures-vit'))
load_from = 'work_dirs/creatures-vit_words/again/iter_3600.pth'
