from mmseg_ssl.clustering.mini_batch_kmeans import MiniBatchKMeans
from mmseg_ssl.clustering.seeding import kmeans_plusplus

__all__ = ['MiniBatchKMeans', 'kmeans_plusplus']
