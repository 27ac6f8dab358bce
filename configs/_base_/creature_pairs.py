# Drawn creatures with captions, to pretrain a CLIP on, and labelled ones to
# watch its zero-shot accuracy. Drawn on first use into data_root and kept.
data_root = '~/.cache/safe_mm'
load = dict(type='LoadImageFromFile')
crop = dict(type='safe_mm.CLIPCrop', size=160)  # of the small CLIPs

train_dataloader = dict(
    batch_size=64,
    num_workers=2,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type='safe_mm.CreaturePairs',
        data_root=data_root,
        pipeline=[load, crop, dict(type='PackInputs', algorithm_keys=['captions'])],
    ),
)

labelled = {
    task: dict(
        batch_size=64,
        num_workers=0,
        collate_fn=dict(type='default_collate'),
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(
            type='safe_mm.CreatureDataset',
            task=task,
            split='val',
            data_root=data_root,
            pipeline=[load, crop, dict(type='PackInputs')],
        ),
    )
    for task in ('ears', 'tail', 'crest', 'pattern')
}
