# Drawn creatures whose classes differ in one part alone: task is 'ears',
# 'tail', 'crest' or 'pattern'. They are drawn on first use into data_root and
# kept. The test pictures' variant is 'seen', with the grounds of the training
# pictures, 'grounds', with new ones, or 'rendering', grey and negative.
_base_ = './few_shot.py'

task = 'ears'
data_root = '~/.cache/safe_mm'
dataset = dict(
    _delete_=True,
    type='safe_mm.CreatureDataset',
    task=task,
    data_root=data_root,
    pipeline={{_base_.dataset.pipeline}})
few_shot = dict(shots={{_base_.shots}}, seed={{_base_.seed}})

train_dataloader = dict(
    dataset=dict(split='train', mirror=True, **few_shot, **dataset))
val_dataloader = dict(dataset=dict(split='val', **few_shot, **dataset))
test_dataloader = dict(dataset=dict(split='test', variant='seen', **dataset))
variants = dict(
    seen=dict(variant='seen'),
    grounds=dict(variant='grounds'),
    rendering=dict(variant='rendering'))
