# SAFE-A: when training is over, a cache is made and searched.
_base_ = ['./default_runtime.py', './search.py']

custom_hooks = [
    dict(type='safe_mm.ClassNamesHook'),
    dict(type='safe_mm.FreezeHook', trainable=['neck.attn_pool_f.*']),
    dict(type='safe_mm.CacheHook'),
]
