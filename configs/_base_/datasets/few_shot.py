# A few-shot task, of which dataset says what and where. --shots and --seed
# choose it: K training images a class, each seen as centre crop and mirror
# image, and min(K, 4) for validation.
data_root = 'data'
shots = 16
seed = 1

dataset = dict(
    type='safe_mm.FewShotDataset',
    data_root=data_root,
    pipeline=[
        dict(
            type='LoadImageFromFile',
            imdecode_backend='pillow',
            color_type='color_ignore_orientation'),
        dict(type='safe_mm.CLIPCrop', clip=None),  # tools set the model's
        dict(type='PackInputs'),
    ])

train_dataloader = dict(
    batch_size=8,
    num_workers=2,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(split='train', shots=shots, seed=seed, mirror=True,
                 **dataset))
val_dataloader = dict(
    batch_size=32,
    num_workers=2,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(split='val', shots=shots, seed=seed, **dataset))
test_dataloader = dict(
    batch_size=32,
    num_workers=2,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(split='test', **dataset))

val_evaluator = dict(type='Accuracy', topk=(1, ))
test_evaluator = val_evaluator
