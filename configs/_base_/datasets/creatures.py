# Drawn creatures whose classes differ in one part alone: task is 'ears',
# 'tail', 'crest' or 'pattern'. They are drawn on first use into data_root and
# kept. The test pictures' variant is 'seen', with the grounds of the training
# pictures, 'grounds', with new ones, or 'rendering', grey and negative.
_base_ = '../few_shot.py'

dataset_name = 'ears'
dataset = dict(type='safe_mm.CreatureDataset', task='ears', data_root='~/.cache/safe_mm')
variants = dict(
    seen=dict(variant='seen'), grounds=dict(variant='grounds'), rendering=dict(variant='rendering')
)

own = dict(
    pipeline=[
        {{_base_.load}},
        dict(type='safe_mm.CLIPCrop', size=160),  # of the small CLIPs
        {{_base_.pack}},
    ],
    **dataset,
)
train_dataloader = dict(dataset=own)
val_dataloader = dict(dataset=own)
test_dataloader = dict(dataset=own)
