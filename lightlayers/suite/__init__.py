"""The suite that reproduces the LightLayers paper and compares what rivals it."""
