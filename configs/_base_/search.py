# What the few-shot validation images choose among, all in one pass over
# pooled features. A cache of CLIP's own pooling has no beta.
search = dict(
    alpha=[0, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50],
    gamma=[0.5, 1, 2, 5, 10, 20, 50],
    beta=[0, 0.25, 0.5, 0.75, 1])
