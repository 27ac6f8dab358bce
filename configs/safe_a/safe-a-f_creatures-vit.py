# SAFE-A with keys fine-tuned after SAFE, as safe-a-f_creatures-rn.py.
_base_ = './safe-a-f_creatures-rn.py'

clip = dict(model_name='creatures-vit')
