from mmseg_ssl.clustering.mini_batch_kmeans import MiniBatchKMeans
from mmseg_ssl.clustering.seeding import kmeans_plusplus
from mmseg_ssl.clustering.streamed_kmeans import StreamedKMeans

__all__ = ['MiniBatchKMeans', 'StreamedKMeans', 'kmeans_plusplus']
