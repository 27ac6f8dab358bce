# Caltech101, tested also on corruptions and renderings of its test photos.
_base_ = './caltech101.py'

dataset_name = 'caltech101_shifts'
crop = dict(type='safe_mm.CLIPCrop')
variants = dict(photos=dict())
for name in ('blur', 'noise', 'jpeg', 'grey', 'contrast', 'negative', 'edges'):
    steps = [{{_base_.load}}, crop, dict(type='safe_mm.Corruption', name=name), {{_base_.pack}}]
    variants[name] = dict(pipeline=steps)
del name, steps
