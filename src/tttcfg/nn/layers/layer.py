"""The TTT layer: projections, learning rate gate and reconstruction target around the inner scan."""

from __future__ import annotations

from operator import attrgetter

import torch
from torch import nn
from torch.nn import functional

from tttcfg.errors import ContradictionError, Problem
from tttcfg.nn.layers.kernels import candidates, running, scan
from tttcfg.nn.layers.scan import ScanInputs, ScanOptions, State, inner_names, inner_shapes
from tttcfg.ttt_moshi.ttt_config import TTTConfig

INITIAL_DEVIATION = 0.02
"""Of every weight that is drawn at random, as hard-coded in the trainer and in ttt-video-dit."""
POST_NORM_EPS = 1e-6
"""The trainer's, without effect: nothing runs `post_norm`."""


class TTTLayer(nn.Module):
    """TTT-Linear, TTT-MLP or multi-layer TTT-MLP, with the tensors of the Moshi TTT trainer.

    What it computes is that trainer's live path, which follows ttt-video-dit; `tttcfg.nn.layers.reference` states it
    plainly.

    - Queries, keys and values are biased projections; queries and keys have length 1 in every head (ttt-video-dit).
    - `post_norm` and `wo` exist, are saved and have no effect: the trainer's wrapper skips them.
    - A sequence is filled up with zero rows to whole mini-batches. They are inputs like any other: through the biases
      they update the state that is returned, as in the trainer; their own outputs are dropped.
    - Everything before the scan is in the dtype of the parameters, rotary positions apart, which turn in float32. The
      scan computes in `scan_dtype` and rounds the state to `state_dtype` after every mini-batch; both may follow the
      parameters, as they are: a layer that is converted to another type computes in that.

    Raises:
        ContradictionError: The configuration cannot be built, with everything that is wrong.
    """

    def __init__(self, config: TTTConfig, device: torch.device | str | None = None) -> None:
        super().__init__()
        self.set_computation(config)
        dtype: torch.dtype = getattr(torch, config.dtype)
        self.width, self.num_heads, self.head_dim = config.model_dim, config.num_heads, config.head_dim
        self.inner = inner_names(config.inner_layer_sizes)
        self._build(inner_shapes(config.num_heads, config.inner_layer_sizes), device, dtype)
        self.reset_parameters()

    def set_computation(self, config: TTTConfig) -> None:
        """Set what is in no tensor: all that the layer computes by but its parameters.

        Raises:
            ContradictionError: The configuration cannot be built.
        """
        _check(config)
        self.mini_batch_size = config.mini_batch_size
        self.base_lr = config.base_lr
        self.reconstruction_eps = config.reconstruction_eps
        self.rope_theta = config.rope_theta if config.rope_mode == "mini_batch" else None
        self.rope_audio = config.rope_scaling == "audio"
        self.norm_eps, self.read_twice = config.inner_norm_eps, config.read_out == "twice"
        self.scans_in_float32 = config.scan_dtype == "float32"
        self.rounds_state = config.state_dtype == "parameters"
        self.group_sizes = {True: config.scan_checkpoint_group_size, False: config.scan_checkpoint_group_size_eval}
        self.kernels = candidates(config)

    def _build(self, shapes: list[tuple[int, int, int]], device: torch.device | str | None, dtype: torch.dtype) -> None:
        def empty(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.empty(shape, device=device, dtype=dtype))

        def linear() -> nn.Linear:
            return nn.Linear(self.width, self.width, device=device, dtype=dtype)

        self.wq, self.wk, self.wv, self.wo = linear(), linear(), linear(), linear()
        self.learnable_ttt_lr_weight = empty(self.num_heads, 1, self.width)
        self.learnable_ttt_lr_bias = empty(self.num_heads, 1)
        self.ttt_norm_weight = empty(self.num_heads, self.head_dim)
        self.ttt_norm_bias = empty(self.num_heads, self.head_dim)
        self.post_norm = nn.LayerNorm(self.width, eps=POST_NORM_EPS, device=device, dtype=dtype)
        tensors = [empty(*shape) for shape in shapes]
        if "W1" in self.inner:
            for name, tensor in zip(self.inner, tensors, strict=True):
                self.register_parameter(name, tensor)
        else:
            self.weights, self.biases = nn.ParameterList(tensors[0::2]), nn.ParameterList(tensors[1::2])

    def reset_parameters(self) -> None:
        """Draw the parameters again, as the trainer starts them.

        Weights are normal with a deviation of 0.02, the biases of the projections uniform in +-1/sqrt(D), which is
        torch's start of a linear layer; the norms' weights are 1 and all other biases 0.
        """
        for name, parameter in self.named_parameters():
            if name in ("ttt_norm_weight", "post_norm.weight"):
                nn.init.ones_(parameter)
            elif name in _PROJECTED_BIASES:
                nn.init.uniform_(parameter, -(self.width**-0.5), self.width**-0.5)
            elif "bias" in name or name.startswith("b"):
                nn.init.zeros_(parameter)
            else:
                nn.init.normal_(parameter, std=INITIAL_DEVIATION)

    @property
    def scan_dtype(self) -> torch.dtype:
        """The type that the scan computes in: float32, or that of the parameters as they are."""
        return torch.float32 if self.scans_in_float32 else self.wq.weight.dtype

    @property
    def state_dtype(self) -> torch.dtype:
        """The type that the state is rounded to after every mini-batch: that of the parameters, or the scan's."""
        return self.wq.weight.dtype if self.rounds_state else self.scan_dtype

    def learned_state(self, batch: int) -> State:
        """Return the state that a sequence starts from: the inner weights as they were learned, in `state_dtype`."""
        learned = attrgetter(*self.inner)(self)
        return tuple(tensor.to(self.state_dtype).expand(batch, *tensor.shape) for tensor in learned)

    def forward(self, x: torch.Tensor, state: State | None = None) -> tuple[torch.Tensor, State]:
        """Return the output for tokens x [B, L, D], in their dtype, and the state after them.

        Args:
            x: The tokens.
            state: What an earlier piece of the same sequences returned; None starts from the learned weights. Pieces
                of whole mini-batches compute what the whole sequence does. Other lengths do not: the zeros that
                fill them up have updated the state, and tokens see one another inside a mini-batch only.

        Raises:
            WrongKernelError: A registered kernel returned something else than it has to.
        """
        batch, length, _ = x.shape
        if state is None:
            state = self.learned_state(batch)
        elif state[0].shape[0] != batch:
            count = state[0].shape[0]
            raise ValueError(f"the state is that of {count} sequences, and x has {batch}; start without one")
        else:
            state = tuple(one.to(self.state_dtype) for one in state)
        filled = functional.pad(x, (0, 0, 0, -length % self.mini_batch_size)).to(self.wq.weight.dtype)
        options = ScanOptions(self.scan_dtype, self.norm_eps, self.read_twice, self.group_sizes[self.training])
        with torch.autocast(x.device.type, enabled=False):
            inputs = self._scan_inputs(filled)
            outputs, state = scan(running(self.kernels, x.device), state, inputs, options)
        merged = outputs.flatten(2, 3).transpose(1, 2).flatten(-2)
        return merged[:, :length].to(x.dtype), state

    def _scan_inputs(self, x: torch.Tensor) -> ScanInputs:
        queries, keys, values = (self._heads(project(x)) for project in (self.wq, self.wk, self.wv))
        queries, keys = functional.normalize(queries, dim=-1), functional.normalize(keys, dim=-1)
        if self.rope_theta is not None:
            turned = self.mini_batch_size, self.rope_theta, self.rope_audio
            queries, keys = rotate(queries, *turned), rotate(keys, *turned)
        targets = self._targets(values, keys)
        batches = (*queries.shape[:2], -1, self.mini_batch_size)
        return ScanInputs(
            queries.reshape(*batches, self.head_dim),
            keys.reshape(*batches, self.head_dim),
            targets.reshape(*batches, self.head_dim),
            self._eta(x).reshape(batches),
            self.ttt_norm_weight,
            self.ttt_norm_bias,
        )

    def _heads(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return [B, L, D] as [B, H, L, d]."""
        return tokens.reshape(*tokens.shape[:2], self.num_heads, self.head_dim).transpose(1, 2)

    def _targets(self, values: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        """Return the reconstruction targets, as ttt-video-dit's `ln_reconstruction_target` does.

        v - k with mean 0 and sample deviation 1 over the head's width, times the norm's weight plus its bias, plus k.
        """
        difference = values - keys
        centred = difference - difference.mean(dim=-1, keepdim=True)
        # As torch.std, which takes ten times as long on a processor; the gradient is finite where all are equal.
        wide = difference.float()
        length = torch.linalg.vector_norm(wide - wide.mean(dim=-1, keepdim=True), dim=-1, keepdim=True)
        deviation = (length / (self.head_dim - 1) ** 0.5).to(difference.dtype)
        normal = centred / (deviation + self.reconstruction_eps)
        targets: torch.Tensor = self.ttt_norm_weight.unsqueeze(-2) * normal + self.ttt_norm_bias.unsqueeze(-2) + keys
        return targets

    def _eta(self, x: torch.Tensor) -> torch.Tensor:
        """Return the learning rate of every token and head, [B, H, L], as ttt-video-dit's `process_input` does.

        The order of operations is that program's: in bfloat16 every one of them rounds.
        """
        gate = torch.einsum("blc,hc->bhl", x, self.learnable_ttt_lr_weight.squeeze(1))
        gate = torch.sigmoid(gate + self.learnable_ttt_lr_bias)
        return self.base_lr * gate / self.head_dim * (1 / self.mini_batch_size)


_PROJECTED_BIASES = frozenset(f"{name}.bias" for name in ("wq", "wk", "wv", "wo"))


def rotate(tokens: torch.Tensor, mini_batch_size: int, theta: float, audio: bool) -> torch.Tensor:
    """Return tokens [B, H, L, d] turned by their position, which starts again in every mini-batch.

    Neighbouring channels are a complex number, of which the i-th turns by position * theta ** (-2 i / d), as in
    ttt-video-dit; positions modulo the mini-batch, as in ttt-lm-pytorch. Turned in float32, and rounded to the dtype
    of the tokens.

    Args:
        audio: Whether the i-th frequency is scaled by 0.5 + 1.5 * exp(-i / d), as in the Moshi trainer.
    """
    length, width = tokens.shape[-2:]
    device = tokens.device
    positions = torch.arange(length, device=device, dtype=torch.float32) % mini_batch_size
    pairs = torch.arange(width // 2, device=device, dtype=torch.float32)
    frequencies = theta ** (-2 * pairs / width)
    if audio:
        frequencies = frequencies * (0.5 + 1.5 * torch.exp(-pairs / width))
    angles = torch.outer(positions, frequencies)
    cosine, sine = angles.cos(), angles.sin()
    even, odd = tokens[..., 0::2].float(), tokens[..., 1::2].float()
    turned = torch.stack((even * cosine - odd * sine, even * sine + odd * cosine), dim=-1)
    return turned.flatten(-2).to(tokens.dtype)


def _check(config: TTTConfig) -> None:
    """Raise everything that contradicts itself, or that these layers cannot be."""
    sizes, found = config.inner_layer_sizes, []
    if config.num_heads * config.head_dim != config.model_dim:
        found.append(("ttt.head_dim", f"{config.num_heads} heads of {config.head_dim} are not {config.model_dim} wide"))
    if config.dtype == "float16":
        message = "is float16, in which the layers' epsilons are 0; they run in bfloat16 and float32: override it"
        found.append(("param_dtype", message))
    if config.head_dim == 1:
        found.append(("ttt.head_dim", "is 1, and a single channel has no deviation to be normalised by"))
    if {sizes[0], sizes[-1]} != {config.head_dim}:
        found.append(("ttt.inner_layer_sizes", f"does not begin and end with head_dim {config.head_dim}"))
    if (config.inner_model == "linear") != (len(sizes) == 2):
        found.append(("ttt.inner_layer_sizes", f"{len(sizes) - 1} layers are no inner model {config.inner_model}"))
    if config.tensor_parallel_size > 1:
        found.append(("ttt.tensor_parallel_size", "these layers hold all heads on one rank; set it to 1"))
    if config.rope_mode == "mini_batch" and config.head_dim % 2:
        message = f"rotary positions turn pairs of channels, and head_dim {config.head_dim} is odd"
        found.append(("ttt.rope_mode", message))
    problems = [Problem("contradiction", message, key) for key, message in found]
    if config.rope_mode == "legacy":
        message = "is legacy: what the code did then was not recorded; override it with off or mini_batch"
        problems.append(Problem("legacy", message, "ttt.rope_mode"))
    if problems:
        raise ContradictionError(problems)
