"""ReCo + ClassMix: a few labelled pixels in every image.

``partial_labels`` of the dataset base says which; see there.
"""
_base_ = ('../mean_teacher/mean-teacher-classmix_mbv2-d16-deeplabv3plus_'
          '1xb4-1k_msrc21-112x112-partial.py')

# ---- frequently modified ----
# The paper's sizes are 256 queries, 512 keys and 256 channels. On small
# images these smaller ones cost an eighth.
loss_contrast = dict(
    type='RegionalContrastLoss', num_queries=128, num_keys=256)
embed_channels = 128
weak_threshold = 0.7  # a pixel joins the contrast from here on, of the teacher
student_threshold = 0.97  # and of the student, in a partly labelled image

model = dict(
    type='PartialLabelReCo',
    segmentor=dict(
        decode_head=dict(
            _delete_=True,
            type='EmbeddingHead',
            head=_base_.model.segmentor.decode_head,
            tap='fusion',  # as in the paper
            embed_channels=embed_channels,
            hidden_channels=embed_channels)),
    loss_contrast=loss_contrast,
    weak_threshold=weak_threshold,
    student_threshold=student_threshold)
