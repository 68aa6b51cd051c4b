"""The training core: Lightning runs the loop; modes, checkpoints, sizing and metrics are ours."""
