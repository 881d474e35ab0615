"""The training side: TTT layers, adapters, checkpoints. The only part of tttcfg that imports torch.

No other folder imports it, but that of a family which names its `training_side`.
"""

try:
    import torch as _torch
except ImportError as error:
    raise ImportError('tttcfg.nn needs torch: pip install "tttcfg[torch]"') from error

from tttcfg.errors import RankError
from tttcfg.nn.checkpoints.checkpointer import Checkpointer
from tttcfg.nn.checkpoints.folders import delete_checkpoints, foreign_files
from tttcfg.nn.checkpoints.load import Loaded, Restored, load_checkpoint, restore
from tttcfg.nn.checkpoints.resume import Resumed
from tttcfg.nn.checkpoints.training_side import TrainingSide
from tttcfg.nn.fingerprints.fingerprints import Computation, check_computation, fingerprint
from tttcfg.nn.layers.blocks import SplitLayer
from tttcfg.nn.layers.computation import set_computation
from tttcfg.nn.layers.hybrid import HybridLayer, SequenceModelingBlock, add_ttt, carrying_states, reset_states
from tttcfg.nn.layers.kernel_check import check_kernel
from tttcfg.nn.layers.kernels import Kernel, WrongKernelError, choose_kernel, register, unregister
from tttcfg.nn.layers.layer import TTTLayer
from tttcfg.nn.layers.lora import LoRALinear, adapter_state_dict, add_lora, merged_state_dict
from tttcfg.nn.layers.reference import reference_layer, reference_scan
from tttcfg.nn.layers.scan import ScanInputs, ScanOptions, torch_scan
from tttcfg.nn.ranks.ranks import agree, on_first, rank, resolve_together, together, world_size
from tttcfg.nn.recovery.answers import Answer
from tttcfg.nn.recovery.check import Evidence, TrainingCheck, check_training
from tttcfg.nn.recovery.contest import Trial
from tttcfg.nn.recovery.record import require_unrecorded, write_recovered
from tttcfg.nn.recovery.report import Recovery
from tttcfg.nn.recovery.search import recover
from tttcfg.nn.recovery.stationarity import AdamMetric, Estimate, Gradients, Products, batch_gradients
from tttcfg.ttt_moshi.kernels import Limit

del _torch

__all__ = [
    "AdamMetric",
    "Answer",
    "Checkpointer",
    "Computation",
    "Estimate",
    "Evidence",
    "Gradients",
    "HybridLayer",
    "Kernel",
    "Limit",
    "LoRALinear",
    "Loaded",
    "Products",
    "RankError",
    "Recovery",
    "Restored",
    "Resumed",
    "ScanInputs",
    "ScanOptions",
    "SequenceModelingBlock",
    "SplitLayer",
    "TTTLayer",
    "TrainingCheck",
    "TrainingSide",
    "Trial",
    "WrongKernelError",
    "adapter_state_dict",
    "add_lora",
    "add_ttt",
    "agree",
    "batch_gradients",
    "carrying_states",
    "check_computation",
    "check_kernel",
    "check_training",
    "choose_kernel",
    "delete_checkpoints",
    "fingerprint",
    "foreign_files",
    "load_checkpoint",
    "merged_state_dict",
    "on_first",
    "rank",
    "recover",
    "reference_layer",
    "reference_scan",
    "register",
    "require_unrecorded",
    "reset_states",
    "resolve_together",
    "restore",
    "set_computation",
    "together",
    "torch_scan",
    "unregister",
    "world_size",
    "write_recovered",
]
