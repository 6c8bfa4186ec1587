from mmseg_ssl.methods.fs4.context_aware_embedding import ContextAwareEmbedding

__all__ = ['ContextAwareEmbedding']
