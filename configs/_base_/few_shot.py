# Loaders of a few-shot task: K training images a class, each seen as centre
# crop and horizontal flip, and min(K, 4) for validation. --shots and --seed
# choose the sample, a file of datasets/ the images.
shots = 16
seed = 1

load = dict(type='safe_mm.LoadPhoto')
pack = dict(type='PackInputs')
pipeline = [load, dict(type='safe_mm.CLIPCrop'), pack]  # --clip sets its size
# Random views, as Tip-Adapter and GDA take them, ten of each training image
random_pipeline = [load, dict(type='safe_mm.CLIPRandomCrop', scale=(0.5, 1)), pack]
# The same with smaller crops, as prompt learning and LoRA take them
small_crops = [load, dict(type='safe_mm.CLIPRandomCrop', scale=(0.08, 1)), pack]

train_dataloader = dict(
    batch_size=8,
    num_workers=2,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(split='train', shots=shots, seed=seed, mirror=True, pipeline=pipeline),
)
val_dataloader = dict(
    batch_size=32,
    num_workers=2,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(split='val', shots=shots, seed=seed, pipeline=pipeline),
)
test_dataloader = dict(
    batch_size=32,
    num_workers=2,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(split='test', pipeline=pipeline),
)

val_evaluator = dict(type='Accuracy', topk=(1,))
test_evaluator = [dict(type='Accuracy', topk=(1,)), dict(type='safe_mm.FigureAccuracy')]
