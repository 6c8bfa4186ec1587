from mmseg_ssl.methods import (  # noqa: F401
    colorization,
    fs4,
    jigsaw,
    mean_teacher,
    mix_and_match,
    picie,
    reco,
    s4gan,
)
