# CLIP-SVD: the singular values of the weights of both towers are trained.
#
#   python tools/train.py configs/clip-svd.py --clip ViT-B-16 \
#       --dataset caltech101 --shots 16 --seed 1 --data-root data
#
# Trains 92,160 parameters of ViT-B/16: those of six matrices in each block. As
# published: AdamW with lr 5e-4 and weight decay 0.01, batches of 32, cosine,
# random crops. Departs (docs/methods.md says why): 2,000 iterations at all
# shots (published: 200 times K), ten stored views of each image, float32, seven
# templates for ImageNet (published: one), and few-shot validation chooses the
# iteration (published: the last one). Not defined for ResNets in the paper;
# here their attention pool and the text tower are decomposed: 44,032 parameters
# of RN50, 7,168 and 36,864. Building takes one to two minutes on a CPU.
# Published, ViT-B/16, average of 11 datasets: 73.20 / 76.06 / 78.18 / 80.55 /
# 82.97 at 1/2/4/8/16 shots, nothing selected.
_base_ = './clip-lora.py'

model = dict(reparametrize=dict(_delete_=True, type='safe_mm.SingularValues'))
optim_wrapper = dict(optimizer=dict(lr=5e-4))
grid = dict(_delete_=True, lr=[5e-3, 5e-4, 5e-5], weight_decay=[0.01])
