# SAFE with class weights that are tuned, too (SAFE, Fig. 8: linear fine-tuning).
#
#   python tools/train.py configs/safe_tuned-head.py --dataset caltech101 --shots 16 \
#       --seed 1 --data-root data
#
# Trains what safe.py trains and N * D parameters of the classifier, which
# starts from the class texts (ImageNet: 15,811,584 parameters in all of RN50,
# 7,599,872 of ViT-B/16). The recipe is that of safe.py. Departs: pooling layer
# and classifier are trained at once, from the templates of the dataset, for one
# run of one recipe; the paper tunes the classifier before, from the sentences
# of CuPL. Published, ImageNet, RN50, 1 shot: 62.98, and 61.85 with the class
# texts, selected by few-shot validation.
_base_ = './safe.py'

model = dict(head=dict(type='safe_mm.CrossModalHead', text_samples=False))
