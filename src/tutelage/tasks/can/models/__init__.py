"""Networks over graphs of CAN windows, in plain PyTorch and PyG."""

from tutelage.tasks.can.models.gat import GATOutput, GATWithJK
from tutelage.tasks.can.models.nodes import NodeInput
from tutelage.tasks.can.models.vgae import VGAE

__all__ = ["VGAE", "GATOutput", "GATWithJK", "NodeInput"]
