"""Trained classifiers outside of the training framework."""

# What tools/export.py writes, and how its name ends; '' for a folder
FORMATS = {
    'classifier': '.safetensors',
    'onnx': '.onnx',
    'torch': '.pt2',
    'open_clip': '.safetensors',
    'hugging_face': '',
}
