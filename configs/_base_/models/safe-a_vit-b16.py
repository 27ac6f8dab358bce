# SAFE-A on CLIP ViT-B/16.
_base_ = './safe_vit-b16.py'

model = dict(head=dict(type='safe_mm.CacheHead'))
