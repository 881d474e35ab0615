"""The model of a run: the base model with TTT layers in it."""

from __future__ import annotations

from typing import Any

import torch

from finetune.args import TrainArgs
from finetune.model import LMModel
from finetune.ttt import HybridLayer, create_ttt_config, parse_layers


def get_model(args: TrainArgs, lm_config: dict[str, Any]) -> LMModel:
    torch.manual_seed(0)  # stands in for the weights of the base model, which moshi-finetune downloads
    model = LMModel(lm_config)
    torch.manual_seed(args.seed)
    layers = model.transformer.layers
    if args.ttt.enable:
        config = create_ttt_config(args.ttt, lm_config)
        for index in parse_layers(args.ttt.layers, len(layers)):
            layers[index] = HybridLayer(layers[index], config)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("seq_modeling_block" in name and "original_layer" not in name)
    return model.to(getattr(torch, args.param_dtype))
