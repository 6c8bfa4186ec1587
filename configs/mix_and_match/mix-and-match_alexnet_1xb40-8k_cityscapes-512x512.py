"""Graphs of 400 patches of Cityscapes on AlexNet."""
_base_ = [
    '../_base_/models/mix_and_match/tune_alexnet.py',
    '../_base_/datasets/mix_and_match/cityscapes_512x512.py',
    '../_base_/schedules/sgd_8k_mix_and_match.py',
    '../_base_/default_runtime.py',
]
# ---- frequently modified ----
num_per_image = 10  # times 40 images of each GPU: nodes of a graph
gather_nodes = False  # True: one graph of the patches of all GPUs

model = dict(
    data_preprocessor=dict(size=_base_.crop_size),
    patches=dict(
        num_per_image=num_per_image,
        size_range=(128, 128),
        out_size=128),
    gather_nodes=gather_nodes)
train_dataloader = dict(batch_size=40)
val_evaluator = dict(_delete_=True, type='PatchRetrieval')
test_evaluator = val_evaluator
default_hooks = dict(
    checkpoint=dict(interval=2000, save_best='nn_acc', rule='greater'))
