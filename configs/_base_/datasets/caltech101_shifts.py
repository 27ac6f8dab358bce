# Caltech101, tested also on corruptions and renderings of its test photos.
_base_ = './caltech101.py'

dataset_name = 'caltech101_shifts'
variants = dict(
    photos=dict(),
    blur=dict(corruption='blur'),
    noise=dict(corruption='noise'),
    jpeg=dict(corruption='jpeg'),
    grey=dict(corruption='grey'),
    contrast=dict(corruption='contrast'),
    negative=dict(corruption='negative'),
    edges=dict(corruption='edges'),
)
