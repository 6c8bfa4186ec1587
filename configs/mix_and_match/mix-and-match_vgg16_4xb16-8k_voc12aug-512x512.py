"""Graphs of 144 patches of VOC 2012 on VGG-16, one on each of 4 GPUs."""
_base_ = [
    '../_base_/models/mix_and_match/tune_vgg16.py',
    '../_base_/datasets/mix_and_match/voc12aug_512x512.py',
    '../_base_/schedules/sgd_8k_mix_and_match.py',
    '../_base_/default_runtime.py',
]
# ---- frequently modified ----
num_per_image = 9  # times 16 images of each GPU: nodes of a graph
gather_nodes = False  # True: one graph of the patches of all GPUs

model = dict(
    data_preprocessor=dict(size=_base_.crop_size),
    patches=dict(
        num_per_image=num_per_image,
        size_range=(64, 256),
        out_size=128,
        background=0,
        background_share=0.1),
    gather_nodes=gather_nodes)
train_dataloader = dict(batch_size=16)
val_evaluator = dict(_delete_=True, type='PatchRetrieval')
test_evaluator = val_evaluator
default_hooks = dict(
    checkpoint=dict(interval=2000, save_best='nn_acc', rule='greater'))
