import keras
import numpy as np
import tensorflow as tf

from histogan_tf.training.optimizers import FusedAdam

SETTINGS = {"learning_rate": 0.01, "beta_1": 0.5, "beta_2": 0.999, "epsilon": 1e-8}


def _trained(optimizer, num_steps=5):
    rng = np.random.default_rng(0)
    variables = [keras.Variable(rng.normal(size=shape)) for shape in ((4, 3), (5,))]
    optimizer.build(variables)

    @tf.function
    def step(gradients):
        optimizer.apply(gradients, variables)

    for _ in range(num_steps):
        step([tf.constant(rng.normal(size=variable.shape), tf.float32) for variable in variables])
    return [np.asarray(variable) for variable in [*variables, *optimizer.variables]]


def test_updates_and_state_are_those_of_keras():
    ours, theirs = _trained(FusedAdam(**SETTINGS)), _trained(keras.optimizers.Adam(**SETTINGS))
    assert len(ours) == len(theirs)
    for mine, keras_own in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, keras_own, rtol=1e-5, atol=1e-7)


def test_a_learning_rate_that_falls_is_heeded():
    schedule = keras.optimizers.schedules.PolynomialDecay(0.1, 4, 0.0)
    settings = SETTINGS | {"learning_rate": schedule}
    ours, theirs = _trained(FusedAdam(**settings)), _trained(keras.optimizers.Adam(**settings))
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-5)


def test_one_update_by_hand():
    optimizer = FusedAdam(learning_rate=0.1, beta_1=0.5, beta_2=0.75, epsilon=0.5)
    variable = keras.Variable(np.array([1.0, 1.0], np.float32))
    optimizer.apply([tf.constant([2.0, -4.0])], [variable])
    # m = g / 2, v = g^2 / 4, and alpha = 0.1 * sqrt(1 - 0.75) / (1 - 0.5) = 0.1
    np.testing.assert_allclose(variable, [1 - 0.1 * 1 / (1 + 0.5), 1 + 0.1 * 2 / (2 + 0.5)], rtol=1e-6)
