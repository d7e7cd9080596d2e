"""The training loop of Keras' backend: an epoch is one graph, the images stay on the device."""

from lightlayers.suite import backend
from lightlayers.suite.training.steps import Steps, cross_entropy


def make_loop(models, optimizers, batch_size, augment=None, objective=None, gradients=None):
    """Returns the training loop of Keras' backend over models of one shape.

    Args:
        models: List of `keras.Model` with weights of their own; one on TensorFlow.
        optimizers: List of Keras optimisers of one configuration, not built yet, one a model.
        batch_size: Integer, images.
        augment: Function `(images, labels, draws) -> (images, labels)` of `keras.ops`, or `None`.
        objective: Function `(labels, outputs, images) -> losses`, one for each image. Defaults to
            the cross-entropy.
        gradients: Function `(gradients, images) -> gradients`, over the trainable variables, or
            `None`.

    Returns:
        `TensorFlowLoop` or `JaxLoop`.
    """
    for model, optimizer in zip(models, optimizers, strict=True):
        optimizer.build(model.trainable_variables)
    steps = Steps(augment, objective or cross_entropy, gradients)
    if backend.name() == "jax":
        from lightlayers.suite.training.jax_loop import JaxLoop

        return JaxLoop(models, optimizers, batch_size, steps)
    from lightlayers.suite.training.tensorflow_loop import TensorFlowLoop

    return TensorFlowLoop(models, optimizers, batch_size, steps)
