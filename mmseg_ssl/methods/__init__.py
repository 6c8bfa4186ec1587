from mmseg_ssl.methods import (  # noqa: F401
    fs4,
    jigsaw,
    mean_teacher,
    mix_and_match,
    reco,
    s4gan,
)
