"""Ghost convolution: half of the channels from a convolution, the rest are cheap copies."""

from lightlayers.suite.registry import Block

CHEAP_SIZE = 3  # of the depthwise kernel that makes the copies


def _count_primary(filters):
    return (filters + 1) // 2


def apply_ghost(x, filters, kernel_size, size, context):
    """Applies the Ghost module of ratio 2.

    `y1 = relu(norm(conv(x)))`, `y2 = relu(norm(depthwise(y1)))`, the output is both side by side.
    """
    import keras

    def convolve(x, layer, name):
        return keras.layers.ReLU()(context.normalize(layer(x), name))

    primary = _count_primary(filters)
    name = f"{context.name}_primary"
    layer = keras.layers.Conv2D(primary, kernel_size, padding="same", use_bias=False, name=name)
    first = convolve(x, layer, name)
    name = f"{context.name}_cheap"
    layer = keras.layers.DepthwiseConv2D(CHEAP_SIZE, padding="same", use_bias=False, name=name)
    copies = convolve(first, layer, name)
    joined = keras.layers.Concatenate()([first, copies])
    return joined if 2 * primary == filters else joined[..., :filters]


def count_ghost(kernel_size, channels, filters, size, recipe):
    """Returns the weights of `apply_ghost`."""
    primary = _count_primary(filters)
    weights = kernel_size**2 * channels * primary + CHEAP_SIZE**2 * primary
    return [(weights, 1), (2 * 4 * primary, 0)]


PEERS = (
    Block(
        name="ghost",
        label="Ghost",
        source="Han et al., arXiv 1911.11907; huawei-noah/Efficient-AI-Backbones@f90e129b64",
        ours="in place of each 3 × 3 convolution but the first, without the bottleneck around it",
        fidelity="adapted: the module is the authors', the network is the paper's",
        marker="p",
        apply=apply_ghost,
        weights=count_ghost,
    ),
)
