from mmseg_ssl.methods.s4gan.discriminator import ImageDiscriminator
from mmseg_ssl.methods.s4gan.s4gan import S4GAN

__all__ = ['S4GAN', 'ImageDiscriminator']
