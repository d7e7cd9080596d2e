"""`lightlayers doctor` and `kernels`: what this machine has, and what it lacks."""

import sys

import click

from lightlayers.cli.options import outputs_option
from lightlayers.suite import doctor as diagnosis

KERNELS = {
    "cpu": {"CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu"},
    "gpu": {
        "LIGHTLAYERS_DEVICE": "gpu",
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    },
}


@click.command()
@outputs_option
def doctor(store):
    """Downloads and writes nothing."""
    wrong = 0
    for finding in diagnosis.diagnose(store):
        print(finding, flush=True)
        wrong += finding.state == "WRONG"
    return 1 if wrong else 0


@click.command()
def kernels():
    """Installs them beside this Python."""
    from ipykernel.kernelspec import install

    for device, environment in KERNELS.items():
        folder = install(
            prefix=sys.prefix,
            kernel_name=f"lightlayers-{device}",
            display_name=f"LightLayers ({device.upper()})",
            env={"TF_CPP_MIN_LOG_LEVEL": "3"} | environment,
        )
        print(folder)
    return 0
