# Cityscapes with 27 classes at the papers' size: views of 320 pixels from
# images of 640. Labels serve the evaluation only. The folder is made by
# tools/dataset_tools/convert_cityscapes.py --classes 27 --size 1280x640.
_base_ = './coco_stuff27_320x320_unlabeled.py'
dataset_type = 'Cityscapes27Dataset'
data_root = 'data/cityscapes_640x1280'

train_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        # PiCIE's code: ['leftImg8bit/test', 'leftImg8bit/train_extra'], and
        # training images among those it is evaluated on
        data_prefix=dict(img_path='leftImg8bit/train')))
val_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(
            img_path='leftImg8bit/val', seg_map_path='gtFine/val')))
test_dataloader = val_dataloader
partitions = dict(things=list(range(17, 27)), stuff=list(range(17)))
val_evaluator = dict(partitions=partitions)
test_evaluator = val_evaluator
