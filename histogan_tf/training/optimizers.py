"""Adam, the optimizer of all GANs here, in one kernel a weight where that is faster."""

from __future__ import annotations

import keras
import tensorflow as tf

from histogan_tf.models.cpu_kernels import is_on


def make_adam(
    learning_rate: float | keras.optimizers.schedules.LearningRateSchedule, beta_1: float, *, cpu_kernels: bool
) -> keras.optimizers.Adam:
    """Adam with the original's settings.

    Args:
        learning_rate: a number, or a function of the step.
        beta_1: the decay of the first momentum; that of the second is 0.999.
        cpu_kernels: the value of --cpu_kernels.
    """
    adam = FusedAdam if is_on(cpu_kernels) else keras.optimizers.Adam
    return adam(learning_rate, beta_1=beta_1, beta_2=0.999, epsilon=1e-8)


class FusedAdam(keras.optimizers.Adam):
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
