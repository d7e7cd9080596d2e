"""The penalty of recipes such as "corrected-l2-1e-3": what it is on, method by method."""

import numpy as np
import pytest
from keras import ops

from lightlayers.suite import networks, registry
from lightlayers.suite.runs import Run

RECIPE = "corrected-l2-1e-3"


def kernel_of(layer):
    """The dense kernel that a layer stands for, or both factors where it stands for none."""
    if hasattr(layer, "depthwise_kernel"):
        return layer.depthwise_kernel * ops.squeeze(layer.pointwise_kernel, 0)[None, ...]
    if getattr(layer, "form", None) == "paper":
        return ops.concatenate([ops.ravel(layer.factor_1), ops.ravel(layer.factor_2)])
    return layer.kernel


@pytest.mark.parametrize("row", ["conv2d", "separableconv2d-w70", "lightlayers-2", "spatial-3"])
def test_each_convolution_of_a_network_is_penalised_alike(row):
    run = Run.from_row("digits", row, RECIPE)
    model = networks.build("digits", run.method, run.rank, RECIPE, run.width)
    penalised = [layer for layer in model.layers if layer.name.startswith("block")]
    penalised = [layer for layer in penalised if not layer.name.endswith("_norm")]
    assert len(penalised) == 6
    norms = [np.square(ops.convert_to_numpy(kernel_of(layer))).sum() for layer in penalised]
    np.testing.assert_allclose(float(sum(model.losses)), 1e-3 * sum(norms), rtol=1e-5)
    assert networks.build("digits", run.method, run.rank, "corrected", run.width).losses == []


def test_a_method_without_the_penalty_is_refused_under_such_a_recipe():
    lacking = []
    for name, entry in registry.entries().items():
        if not getattr(entry, "takes_l2", False):
            lacking.append(name)
    assert "ghost" in lacking
    for name in lacking:
        rank = 3 if registry.find(name).knob else None
        assert Run("digits", name, rank, "corrected-rate-2x")
        with pytest.raises(ValueError, match="means nothing for this method"):
            Run("digits", name, rank, RECIPE)
