"""What is impossible or doubtful about a job alone; the program finds out later, or never."""

from collections.abc import Iterator

from tttcfg import Problem
from video_dit_config.job_config import JobConfig

KERNEL_TILE = 64
"""Mini-batch that the ThunderKittens kernel of TTT-MLP is compiled for; it looks at no other number."""


def check(job: JobConfig) -> list[Problem]:
    """Return the problems that the rules find in `job`."""
    return list(_rules(job))


def _rules(job: JobConfig) -> Iterator[Problem]:
    size = job.model.mini_batch_size
    if job.model.ssm_layer == "ttt_mlp" and size != KERNEL_TILE:
        message = f"is {size}, and the kernel of ttt_mlp reads {KERNEL_TILE} tokens at a time, whatever is written"
        yield Problem("kernel", message, "model.mini_batch_size", severity="warning")
    if job.model.ssm_layer == "ttt_linear" and (size < 16 or size & (size - 1)):
        message = f"is {size}, and the kernel of ttt_linear needs a power of two from 16 up"
        yield Problem("kernel", message, "model.mini_batch_size", severity="warning")
    if job.remat.shard_transformer_inputs and job.parallelism.tp_sharding < 2:
        message = "needs parallelism.tp_sharding of 2 or more"
        yield Problem("contradiction", message, "remat.shard_transformer_inputs")
