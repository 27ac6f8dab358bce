custom_imports = dict(imports=['safe_mm'])
default_scope = 'mmpretrain'

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=20, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='safe_mm.SlimCheckpointHook', interval=100),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='VisualizationHook', enable=False),
    finite_loss=dict(type='safe_mm.FiniteLossHook'),
)
custom_hooks = [dict(type='safe_mm.FitHook'), dict(type='safe_mm.InitialValidationHook')]
model_wrapper_cfg = dict(type='safe_mm.DistributedClassifier', broadcast_buffers=False)

visualizer = dict(type='UniversalVisualizer', vis_backends=[dict(type='LocalVisBackend')])
log_processor = dict(by_epoch=False)
log_level = 'INFO'
load_from = None
resume = False
randomness = dict(seed=1, deterministic=False)
env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
