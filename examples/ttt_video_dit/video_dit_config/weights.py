"""What tensors prove of this family's fields."""

from __future__ import annotations

from collections.abc import Iterator

from tttcfg import quote
from tttcfg.evidence.evidence import Evidence, Proof
from tttcfg.evidence.knowledge import TensorKnowledge
from tttcfg.evidence.verifier import VERIFIED, Verdict, Verifier
from tttcfg.safetensors.header import Header
from video_dit_config.distributed import read
from video_dit_config.job_config import JobConfig

DIMENSIONS = ("model_dim", "num_heads", "num_layers")
PRESETS = {"debug": (512, 8, 6), "5B": (3072, 48, 42)}
"""The dimensions of each size, as ttt/models/configs.py has them."""
INNER = {2: "ttt_linear", 3: "ttt_mlp"}
"""The inner model by how many widths there are through it, input and output included."""


def proved(evidence: Evidence) -> dict[str, Proof]:
    """Return what tensors prove, by the dotted path of the field."""
    found: dict[str, Proof] = {}
    if not _is_ours(evidence):
        return found
    widths, shown = evidence.widths, _dimensions(evidence)
    if widths is not None and len(widths.value) in INNER:
        found["model.ssm_layer"] = widths._replace(value=INNER[len(widths.value)])
    if shown is not None:
        size = next((size for size, dimensions in PRESETS.items() if dimensions == shown.value), None)
        if size is not None:
            found["model.size"] = shown._replace(value=size)
    return found


def _is_ours(evidence: Evidence) -> bool:
    return evidence.dialect is not None and evidence.dialect.family == "ttt_video_dit"


def _dimensions(evidence: Evidence) -> Proof | None:
    """Return width, heads and layers, where tensors show all three."""
    if not set(DIMENSIONS) <= evidence.dimensions.keys():
        return None
    proofs = [evidence.dimensions[name] for name in DIMENSIONS]
    return Proof(tuple(proof.value for proof in proofs), proofs[0].tensor)


class JobVerifier(Verifier[JobConfig, None]):
    """Checks a job configuration against what tensors prove."""

    def verdicts(self) -> Iterator[tuple[str, Verdict]]:
        """Yield the verdict on every field that shapes tensors."""
        if not _is_ours(self.evidence):
            return
        yield "model.name", VERIFIED
        yield from self.fields(proved(self.evidence), "model.ssm_layer", "model.size")
        shown = _dimensions(self.evidence)
        if shown is not None and shown.value not in PRESETS.values():
            width, heads, layers = shown.value
            described = f"the weights have width {width}, {heads} heads and {layers} layers ({shown.tensor})"
            advice = f"the sizes are {', '.join(PRESETS)}; give the weights of one of them"
            yield "model.size", Verdict("contradicted", quote(self.training.model.size), described, advice)


class DistributedTensors(TensorKnowledge):
    """What tensors of a distributed checkpoint, or of its export, prove."""

    verifier = JobVerifier
    binder = "python -m video_dit_config.sidecar FOLDER CONFIG.toml"

    def proved(self, evidence: Evidence) -> dict[str, Proof]:
        return proved(evidence)

    def read(self, path: str) -> Header:
        return read(path)
