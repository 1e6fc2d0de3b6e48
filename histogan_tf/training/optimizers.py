"""Adam in one kernel a weight."""

from __future__ import annotations

import keras
import tensorflow as tf


class Adam(keras.optimizers.Adam):
    """Keras's Adam (Kingma & Ba 2015), with the same state and arithmetic, on TensorFlow's fused kernel.

    Keras makes a dozen operations of each update, each a pass over the weights. ResourceApplyAdam makes one pass over
    all three arrays. It takes neither AMSGrad nor sparse gradients, which no network here has.
    """

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor) -> None:
        """One update of one weight, as Keras calls it: `variable` is TensorFlow's, on this replica."""
        assert not self.amsgrad, "ResourceApplyAdam has no AMSGrad"
        index = self._get_variable_index(variable)
        num_steps = tf.cast(self.iterations + 1, variable.dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=self.beta_1**num_steps,
            beta2_power=self.beta_2**num_steps,
            lr=tf.cast(learning_rate, variable.dtype),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=tf.cast(gradient, variable.dtype),
        )
