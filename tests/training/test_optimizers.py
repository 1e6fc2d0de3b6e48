import keras
import numpy as np
import tensorflow as tf

from histogan_tf.training.optimizers import FusedAdam, make_adam

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


def test_in_float16_alone_losses_are_scaled_and_a_step_that_overflows_is_skipped():
    assert [type(make_adam(1e-3, 0.5, cpu_kernels=True, precision=kind)) for kind in ("float32", "bfloat16")] == [
        FusedAdam,
        FusedAdam,
    ]
    weights = [keras.Variable([1.0, 2.0]), keras.Variable([1.0, 2.0])]
    plain, scaled = (make_adam(1e-3, 0.5, cpu_kernels=True, precision=kind) for kind in ("float32", "float16"))
    for optimizer, weight in zip((plain, scaled), weights, strict=True):
        optimizer.build([weight])
    assert (float(plain.scale_loss(tf.constant(3.0))), float(scaled.scale_loss(tf.constant(3.0)))) == (3.0, 3.0 * 2**15)

    @tf.function
    def update(gradient: tf.Tensor) -> None:
        plain.apply([gradient], [weights[0]])
        scaled.apply([scaled.scale_loss(gradient)], [weights[1]])

    update(tf.constant([1e-4, -1.0]))
    np.testing.assert_allclose(weights[0], weights[1], rtol=1e-6)
    before = weights[1].numpy()
    update(tf.constant([np.inf, 0.0]))
    np.testing.assert_array_equal(weights[1], before)
    assert float(scaled.scale_loss(tf.constant(1.0))) == 2**14
    assert int(scaled.iterations) == 1
