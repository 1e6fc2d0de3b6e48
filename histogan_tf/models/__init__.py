"""The networks, in Keras, without optimizers, losses or data."""
