"""MLflow as a mirror of the records, for people to look at; nothing here decides anything."""

from tutelage.tracking.client import create_training_mlflow_run
from tutelage.tracking.environment import setup_mlflow_tracking_env, tracking_uri
from tutelage.tracking.following import followed
from tutelage.tracking.mirror import Mirrored, mirror

__all__ = [
    "Mirrored",
    "create_training_mlflow_run",
    "followed",
    "mirror",
    "setup_mlflow_tracking_env",
    "tracking_uri",
]
