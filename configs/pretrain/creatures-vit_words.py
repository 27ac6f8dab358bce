# Small ViT CLIP on drawn creatures, stage 1 of 2: the image encoder learns the
# words of the captions.
#
#   python tools/train.py configs/pretrain/creatures-vit_words.py --seed 1
_base_ = './creatures-rn_words.py'

clip = dict(model_name='creatures-vit')
optim_wrapper = dict(optimizer=dict(lr=1e-3))
