from mmseg_ssl.methods import mean_teacher, reco  # noqa: F401
