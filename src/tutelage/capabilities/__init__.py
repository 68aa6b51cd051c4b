"""Capabilities: the extra powers that a task may have, each a small class that it extends."""

from tutelage.capabilities.data import SupportsCombining as SupportsCombining
from tutelage.capabilities.data import SupportsFolds as SupportsFolds
from tutelage.capabilities.modes import SupportsAutoencoder as SupportsAutoencoder
from tutelage.capabilities.modes import SupportsBlending as SupportsBlending
from tutelage.capabilities.modes import SupportsCurriculum as SupportsCurriculum
from tutelage.capabilities.modes import SupportsDistillation as SupportsDistillation
from tutelage.capabilities.modes import SupportsFusion as SupportsFusion
from tutelage.capabilities.ship import SupportsExport as SupportsExport
from tutelage.capabilities.ship import SupportsPredictionLines as SupportsPredictionLines
from tutelage.capabilities.ship import SupportsService as SupportsService
from tutelage.capabilities.ship import SupportsTransformersExport as SupportsTransformersExport
from tutelage.capabilities.watch import SupportsWatch as SupportsWatch
from tutelage.capabilities.watch import Verdict as Verdict
from tutelage.capabilities.watch import Watch as Watch
