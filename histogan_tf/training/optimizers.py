"""Adam, the optimizer of all GANs here; it updates each weight array in one fused kernel, which is faster."""

from __future__ import annotations

import keras
import tensorflow as tf


def make_adam(
    learning_rate: float | keras.optimizers.schedules.LearningRateSchedule,
    beta_1: float,
    beta_2: float = 0.999,
    *,
    cpu_kernels: bool,
    precision: str = "float32",
) -> keras.Optimizer:
    """Returns Adam with the original's epsilon.

    Args:
        learning_rate: a number, or a schedule that computes it from the step.
        beta_1: the decay rate of the first moment.
        beta_2: the decay rate of the second moment; the original's is 0.999.
        cpu_kernels: the value of --cpu_kernels; Keras's own Adam if it is off.
        precision: the value of --precision; see `with_loss_scaling`.
    """
    adam = FusedAdam if cpu_kernels else keras.optimizers.Adam
    return with_loss_scaling(adam(learning_rate, beta_1=beta_1, beta_2=beta_2, epsilon=1e-8), precision)


def with_loss_scaling(optimizer: keras.Optimizer, precision: str) -> keras.Optimizer:
    """Returns an optimizer whose `scale_loss` multiplies a loss by what its `apply` divides the gradients by.

    In float16 small gradients would become 0: its smallest number is 6e-8. Keras's dynamic scaling begins at 2^15. It
    halves the factor and leaves the weights as they are where a gradient is not finite, and doubles it after 2000
    steps without one (Micikevicius et al., "Mixed Precision Training", ICLR 2018).

    Args:
        optimizer: the optimizer.
        precision: the value of --precision. With any but float16, the optimizer is returned as it is, and Keras's
            `scale_loss` returns the loss as it is.
    """
    return keras.optimizers.LossScaleOptimizer(optimizer) if precision == "float16" else optimizer


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
