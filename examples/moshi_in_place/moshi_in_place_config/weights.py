"""What tensors prove of this family's fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from moshi_in_place_config.model_config import in_model_config
from moshi_in_place_config.training_args import TrainArgs
from tttcfg.evidence.evidence import Evidence, Proof
from tttcfg.evidence.knowledge import TensorKnowledge
from tttcfg.evidence.verifier import VERIFIED, Verdict, Verifier

START, FREQUENCY = "ttt.start_layer", "ttt.layer_frequency"
DIALECTS = ("moshi_in_place", "moshi_finetune")
"""How tensors are named with TTT and without."""
SHAPING = ("ttt.enabled", START, FREQUENCY, "ttt.conv_kernel_size", "lora.enable", "lora.rank")
"""The fields that tensors can show."""


def proved(evidence: Evidence) -> dict[str, Proof]:
    """Return what tensors prove, by the dotted path of the field."""
    layers, dialect, found = evidence.layers, evidence.dialect, dict[str, Proof]()
    if dialect is None or dialect.name not in DIALECTS or layers is None:
        return found
    found["ttt.enabled"] = layers._replace(value=bool(layers.value))
    if layers.value:
        found[START] = layers._replace(value=layers.value[0])
    distances = {after - before for before, after in pairwise(layers.value)}
    if len(distances) == 1:
        found[FREQUENCY] = layers._replace(value=distances.pop())
    if "conv_kernel_size" in evidence.dimensions:
        found["ttt.conv_kernel_size"] = evidence.dimensions["conv_kernel_size"]
    if evidence.rank is not None:
        found |= {"lora.enable": evidence.rank._replace(value=True), "lora.rank": evidence.rank}
    elif not evidence.unread_adapter:
        found["lora.enable"] = Proof(False, "no adapter is among the weights")
    return found


class InPlaceVerifier(Verifier[TrainArgs, None]):
    """Checks a configuration against what tensors prove."""

    def verdicts(self) -> Iterator[tuple[str, Verdict]]:
        """Yield the verdict on every field that shapes tensors."""
        if shown := proved(self.evidence):
            yield from self.fields(shown, *SHAPING)
            yield from self.spacing(shown, self.evidence.known_layers)

    def spacing(self, shown: Mapping[str, Proof], layers: Proof) -> Iterator[tuple[str, Verdict]]:
        """Check start and frequency together against the layers that have TTT, and against those that could."""
        ttt, found, depth = self.training.ttt, layers.value, self.evidence.dimensions.get("num_layers")
        frequency = shown[FREQUENCY].value if FREQUENCY in shown else ttt.layer_frequency
        if not found or (found[0], frequency) != (ttt.start_layer, ttt.layer_frequency):
            return
        if found != tuple(range(ttt.start_layer, depth.value if depth else found[-1] + 1, ttt.layer_frequency)):
            described = f"every {ttt.layer_frequency} layers from {ttt.start_layer}"
            having = f"the weights have TTT in layers {list(found)} ({layers.tensor})"
            yield FREQUENCY, Verdict("contradicted", described, having, "give the weights that were trained so")
        elif depth:
            yield FREQUENCY, VERIFIED


class InPlaceTensors(TensorKnowledge):
    """What tensors of this fork prove."""

    verifier = InPlaceVerifier
    dialects = DIALECTS

    def proved(self, evidence: Evidence) -> dict[str, Proof]:
        return proved(evidence)

    def in_model_config(self, model: Mapping[str, Any]) -> dict[str, Any]:
        return in_model_config(model)
