# SAFE-A with keys fine-tuned after SAFE, as safe-a-f_rn50_caltech101.py.
_base_ = './safe-a-f_rn50_caltech101.py'

clip = dict(model_name='ViT-B-16')
