"""The training core: Lightning runs the loop; modes, checkpoints, sizing and metrics are ours."""

import os

# Asking whether a GPU is there must not start its driver, which a forked probe couldn't share.
os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
