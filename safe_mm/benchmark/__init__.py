"""Speed and memory of SAFE beside open_clip's modules and the naive recipe."""
