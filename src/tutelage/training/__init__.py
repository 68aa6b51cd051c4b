"""The training core: Lightning runs the loop; modes, checkpoints, sizing and metrics are ours."""

import os

# Asking whether a GPU is there must not start its driver, which a forked probe couldn't share.
os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")

# Threads of OpenMP that wait for each other spin; beside a busy neighbour they spin away whole time
# slices. Waiting asleep sooner costs little on an idle machine: benchmarks/busy_neighbour.py.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
