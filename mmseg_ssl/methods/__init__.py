from mmseg_ssl.methods import fs4, mean_teacher, reco  # noqa: F401
