# Hyper-parameters that are chosen on the few-shot validation images, for the
# models that have them. A grid over pooled features takes seconds. Where gamma
# (1 - cos) is small, exp(-gamma (1 - cos)) is linear in it, so that a gamma below
# 0.5 acts as a smaller alpha.
search = dict(
    alpha=[0, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50],
    gamma=[0.5, 1, 2, 5, 10, 20, 50],
    beta=[0, 0.25, 0.5, 0.75, 1],
)
