"""Speed and memory of SAFE against open_clip's modules, trained on images in each iteration."""
