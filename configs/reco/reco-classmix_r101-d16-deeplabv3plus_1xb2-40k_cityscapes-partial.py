"""ReCo + ClassMix: a few labelled pixels in every image.

``partial_labels`` of the dataset base says which; see there.
"""
_base_ = ('../mean_teacher/mean-teacher-classmix_r101-d16-deeplabv3plus_'
          '1xb2-40k_cityscapes-partial.py')

# ---- frequently modified ----
loss_contrast = dict(
    type='RegionalContrastLoss', num_queries=256, num_keys=512)
embed_channels = 256
weak_threshold = 0.7  # a pixel joins the contrast from here on, of the teacher
student_threshold = 0.97  # and of the student, in a partly labelled image

model = dict(
    type='PartialLabelReCo',
    segmentor=dict(
        decode_head=dict(
            _delete_=True,
            type='EmbeddingHead',
            head=_base_.model.segmentor.decode_head,
            tap='fusion',
            embed_channels=embed_channels)),
    loss_contrast=loss_contrast,
    weak_threshold=weak_threshold,
    student_threshold=student_threshold)
