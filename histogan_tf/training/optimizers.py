"""Adam, the optimizer of all GANs here; on a CPU it updates each weight array in one fused kernel, which is faster."""

from __future__ import annotations

import keras
import tensorflow as tf

from histogan_tf.models.cpu_kernels import is_on


def make_adam(
    learning_rate: float | keras.optimizers.schedules.LearningRateSchedule,
    beta_1: float,
    beta_2: float = 0.999,
    *,
    cpu_kernels: bool,
) -> keras.optimizers.Adam:
    """Returns Adam with the original's epsilon.

    Args:
        learning_rate: a number, or a schedule that computes it from the step.
        beta_1: the decay rate of the first moment.
        beta_2: the decay rate of the second moment; the original's is 0.999.
        cpu_kernels: the value of --cpu_kernels.
    """
    adam = FusedAdam if is_on(cpu_kernels) else keras.optimizers.Adam
    return adam(learning_rate, beta_1=beta_1, beta_2=beta_2, epsilon=1e-8)


class FusedAdam(keras.optimizers.Adam):
    """Keras's Adam (Kingma & Ba 2015), with the same state and arithmetic, on TensorFlow's fused kernel.

    Keras makes a dozen operations of each update, and each is a pass over the weights. ResourceApplyAdam makes one pass
    over the weights and both moments. It supports neither AMSGrad nor sparse gradients; no network here uses them.
    """

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor) -> None:
        """Updates one variable; Keras calls it with TensorFlow's variable of this replica."""
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
