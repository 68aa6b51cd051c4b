"""Conformance suites that a task's author extends: does it keep what Tutelage promises?"""

from tutelage.testing.conformance import TaskConformance as TaskConformance
from tutelage.testing.offering import offered as offered
from tutelage.testing.resuming import ResumeConformance as ResumeConformance
from tutelage.testing.resuming import differing as differing
from tutelage.testing.resuming import trained_modes as trained_modes
