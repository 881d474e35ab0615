"""The real Moshi: `moshi.models.lm.LMModel`, of the `moshi` package, as a config.json of kyutai's describes it.

kyutai's own loader builds it; its LoRA path is not taken, which starts from random adapters of a rank of its own. TTT
and adapters come from tttcfg, as in the small model. Written against moshi 0.2.13.
"""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tttcfg import InputError, Problem, TrainingArgs

logger = logging.getLogger("ttt_moshi")

DEPFORMER = "depformer_"
"""Keys of a config.json that begin with it are of the real model: the small one predicts its streams at once."""
NOT_OF_THE_MODEL = {
    *("moshi_name", "mimi_name", "mimi_config_name", "tokenizer_name", "lora_name", "model_type", "model_id"),
    *("lm_gen_config", "tts_config", "stt_config"),
    *("lora", "lora_rank", "lora_scaling", "gradient_checkpointing"),
}
"""Keys of a config.json that LMModel is not given: names of files, settings of other programs, and of a run."""
WEIGHTS_NAME = "model.safetensors"
"""The file of a Hub repository whose config.json has no `moshi_name`."""
PATH = "moshi_paths.config_path"


def is_moshi(config: Mapping[str, Any]) -> bool:
    """Whether a config.json describes the real model."""
    return any(key.startswith(DEPFORMER) for key in config)


def moshi_module(name: str, key: str) -> Any:
    """Import a module of the `moshi` package; without a GPU compiling, which would take minutes, is switched off.

    Args:
        key: The setting that asks for it, for the message.

    Raises:
        InputError: The package is not there.
    """
    if not torch.cuda.is_available():
        os.environ.setdefault("NO_TORCH_COMPILE", "1")  # read when the package is imported
    try:
        return import_module(name)
    except ImportError as error:
        message = f'needs the moshi package: pip install "tttcfg[moshi]" ({error})'
        raise InputError(Problem("missing", message, key)) from None


def build_moshi(config: Mapping[str, Any], dtype: torch.dtype) -> nn.Module:
    """Return the model of a config.json with weights that are drawn, on the GPU where there is one.

    Raises:
        InputError: The package is missing, or config.json is not its model's.
    """
    loaders = moshi_module("moshi.models.loaders", PATH)
    layer = moshi_module("moshi.modules.transformer", PATH).StreamingTransformerLayer
    settings = copy.deepcopy({key: value for key, value in config.items() if key not in NOT_OF_THE_MODEL})
    settings["layer_class"] = type("Layer", (CheckpointedLayer, layer), {})
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        model = loaders.get_moshi_lm(None, settings, device=device, dtype=dtype)
    except (TypeError, ValueError, LookupError, AttributeError, AssertionError, ImportError) as error:
        message = f"is no config.json of moshi {version('moshi')}: {str(error) or repr(error)}"
        raise InputError(Problem("model_config", message, PATH)) from None
    for wrong, message in (
        (model.depformer is None, "describes a model that predicts no audio (dep_q is 0)"),
        (model.fuser is not None, "describes a model with conditioners (fuser), and there are no conditions to give"),
    ):
        if wrong:
            raise InputError(Problem("model_config", message, PATH))
    logger.info("Model: LMModel of moshi %s; config.json has %s...", version("moshi"), DEPFORMER)
    model.transformer.register_forward_pre_hook(refuse_long_piece)
    return model  # type: ignore[no-any-return]


class CheckpointedLayer:
    """Mixed into moshi's layer: with `gradient_checkpointing` each block is computed again in the backward pass.

    Moshi's own switch would compute the TTT between them again as well, and carry its state on twice.
    """

    gradient_checkpointing = False
    training: bool

    def _sa_block(self, x: Tensor) -> Tensor:
        return self._kept_or_not(super()._sa_block, x)  # type: ignore[misc]

    def _ff_block(self, x: Tensor) -> Tensor:
        return self._kept_or_not(super()._ff_block, x)  # type: ignore[misc]

    def _kept_or_not(self, block: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        again = self.gradient_checkpointing and self.training
        found: Tensor = checkpoint(block, x, use_reentrant=False) if again else block(x)
        return found


def refuse_long_piece(transformer: Any, inputs: tuple[Tensor, ...]) -> None:
    """Before a transformer streams a piece: raise an InputError where attention cannot hold it.

    Its keys are kept in a ring of `context` places; a longer piece overwrites itself, and moshi reports nothing.
    """
    if not transformer.is_streaming:
        return
    layers = [getattr(layer, "original_layer", layer) for layer in transformer.layers]
    context, length = min(layer.self_attn.context for layer in layers), inputs[0].shape[1]
    if length > context:
        message = f"is {context}, and a piece of {length} tokens is streamed; moshi keeps no more than the context"
        raise InputError(Problem("rejected", message, "context"))


def lora_linear(linear: nn.Linear, rank: int, scaling: float) -> nn.Module:
    """Return moshi's own adapter around a linear module, for `tttcfg.nn.add_lora`; a fresh one changes nothing."""
    lora = import_module("moshi.modules.lora").LoRALinear
    place = {"device": linear.weight.device, "dtype": linear.weight.dtype}
    made = lora(linear.in_features, linear.out_features, rank, scaling, **place)
    made.frozen_W = linear.requires_grad_(False)
    nn.init.zeros_(made.lora_B.weight)
    return made  # type: ignore[no-any-return]


def base_weights(config: Mapping[str, Any], training: TrainingArgs) -> str | None:
    """Return the file with the weights of the base model, from the Hub where no local one is named; None for none.

    Only the real model has one on the Hub.

    Raises:
        InputError: The Hub does not give it.
    """
    paths = training.moshi_paths
    if paths.moshi_path is not None or paths.hf_repo_id is None or not is_moshi(config):
        return paths.moshi_path
    hub = moshi_module("huggingface_hub", "moshi_paths.hf_repo_id")
    name = config.get("moshi_name") or WEIGHTS_NAME
    try:
        found: str = hub.hf_hub_download(paths.hf_repo_id, name)
    except Exception as error:  # no network, no such repository, no access: each has its own
        advice = "name a local file by moshi_paths.moshi_path, or set hf_repo_id=null to draw the weights"
        message = f"gives no {name}; {advice}: {' '.join(str(error).split())[:200]}"
        raise InputError(Problem("not_found", message, "moshi_paths.hf_repo_id", paths.hf_repo_id)) from None
    logger.info("Base model: %s of %s", name, paths.hf_repo_id)
    return found
