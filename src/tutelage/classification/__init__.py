"""A base for tasks that tell classes of arrays: the author gives examples and a network's body."""

from tutelage.classification.config import ClassificationConfig as ClassificationConfig
from tutelage.classification.config import ClassificationData as ClassificationData
from tutelage.classification.examples import Examples as Examples
from tutelage.classification.examples import read_numbers as read_numbers
from tutelage.classification.task import CLASSIFIER_MODES as CLASSIFIER_MODES
from tutelage.classification.task import ClassificationTask as ClassificationTask
