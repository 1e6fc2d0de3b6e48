"""histogan_tf: train GANs on few histology patches and learn whether their images help a classifier."""

__version__ = "0.1.0"
