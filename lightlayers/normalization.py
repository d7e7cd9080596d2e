"""BatchNormalization that takes TensorFlow's fused operation where there is one."""

import keras


@keras.saving.register_keras_serializable(package="lightlayers")
class BatchNormalization(keras.layers.BatchNormalization):
    """Keras' own layer, with the same results, weights and arguments, only faster.

    In training on TensorFlow, Keras 3 computes the moments and the gradient from many
    small operations; TensorFlow's fused kernel reads the images fewer times.

    Example:

    >>> BatchNormalization(momentum=0.9).momentum
    0.9
    """

    def call(self, inputs, training=None, mask=None):
        fusible = (
            training
            and self.trainable
            and keras.backend.backend() == "tensorflow"
            and mask is None
            and len(inputs.shape) == 4
            and self.axis in (-1, 3)
            and self.scale
            and self.center
            and self.compute_dtype == inputs.dtype == "float32"
            and not self.synchronized
            and not getattr(self, "renorm", False)  # which older Keras does not have
        )
        if not fusible:
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf

        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs, scale=self.gamma, offset=self.beta, mean=[], variance=[], epsilon=self.epsilon
        )
        # The fused kernel's variance is the unbiased one, Keras keeps the biased one.
        count = tf.cast(tf.size(inputs) / tf.size(mean), variance.dtype)
        variance *= (count - 1) / count
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + batch * (1 - self.momentum))
        return outputs
