"""Families of third-party trainers, one that derives layers and one that does not, and a plain torch model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

import tttcfg
from tests.nn.language import State
from tttcfg import Effective, Family, Role, Section, setting
from tttcfg.errors import Problem, quote
from tttcfg.evidence.dialects.dialect import INDEX, Base, Dialect
from tttcfg.evidence.evidence import Evidence, Proof
from tttcfg.evidence.knowledge import TensorKnowledge
from tttcfg.evidence.verifier import Verdict, Verifier
from tttcfg.family.family import Derived
from tttcfg.nn import Checkpointer, TrainingSide

MODEL: dict[str, Any] = {"depth": 2}


class Settings(Section):
    """What both families have."""

    width: int = setting(8, role=Role.ARCHITECTURE, unit="channels", ge=1, description="Width of the layers.")
    slope: float = setting(
        0.5, role=Role.COMPUTATION, unit="dimensionless", description="Slope below zero; in no tensor."
    )
    lr: float = setting(0.1, role=Role.TRAINING, unit="dimensionless", ge=0, description="Learning rate.")
    precision: str = setting("float32", role=Role.COMPUTATION, description="Type of the parameters.")
    fresh: bool = setting(False, role=Role.RUN, description="Resume without the optimiser's state.")


class PlainArgs(Settings):
    """The configuration of the trainer whose layers read it as it is."""


class LayeredArgs(Settings):
    """The configuration of the trainer with layers that read what is derived."""


class DescribedArgs(Settings):
    """The configuration of the trainer that knows what its tensors prove."""


class Layers(Section):
    """What the layers of a model read."""

    widths: tuple[int, ...] = setting(role=Role.ARCHITECTURE, unit="channels", description="Width of every layer.")
    slope: float = setting(role=Role.COMPUTATION, unit="dimensionless", description="Slope below zero.")


def derive(
    training: LayeredArgs,
    model: Mapping[str, Any] | None,
    _name: str,
    _proved: Mapping[str, Any] = MappingProxyType({}),
    /,
) -> Derived:
    if model is None:
        return Derived(None, {}, ())
    layers = Layers(widths=(training.width,) * model["depth"], slope=training.slope)
    return Derived(layers, {"layers.widths": "width, and depth of config.json"}, ())


class LayeredSide(TrainingSide):
    """Freezes all layers but the last, saves that, and compares slopes."""

    dtype = "precision"
    reset_optimizer = "fresh"

    def saves_trained_only(self, training: LayeredArgs) -> bool:
        del training
        return True

    def departures(self, model: nn.Module, training: LayeredArgs, derived: Derived) -> Iterator[Problem]:
        del training
        slopes = [one.negative_slope for one in model.modules() if isinstance(one, nn.LeakyReLU)]
        if isinstance(derived.config, Layers) and {*slopes} != {derived.config.slope}:
            message = f"is {derived.config.slope}, but the model's layers have {quote(slopes)}"
            yield Problem("contradiction", message, "slope")

    def group_of(self, name: str) -> str:
        return "head" if name.startswith("head.") else super().group_of(name)


PLAIN: Family[PlainArgs, None] = Family("plain", PlainArgs, f"{__name__}.migrations", f"{__name__}.schemas")
LAYERED: Family[LayeredArgs, Layers] = Family(
    "layered",
    LayeredArgs,
    f"{__name__}.migrations",
    f"{__name__}.schemas",
    layers=Layers,
    derive=derive,
    training_side=LayeredSide,
)


FIRST = "layers.0.0.weight"


def proved(evidence: Evidence) -> dict[str, Proof]:
    known = evidence.dialect is not None and evidence.dialect.name == "described" and FIRST in evidence.header
    return {"width": Proof(evidence.header.shape(FIRST)[0], FIRST)} if known else {}


class DescribedVerifier(Verifier[DescribedArgs, None]):
    """Checks the width."""

    def verdicts(self) -> Iterator[tuple[str, Verdict]]:
        """Yield the verdict on the width."""
        yield from self.fields(proved(self.evidence), "width")


class DescribedTensors(TensorKnowledge):
    """Knows the names of the model below, which tttcfg does not."""

    verifier = DescribedVerifier
    dialects = (
        Dialect(
            name="described",
            title="the described trainer",
            signature=r"layers\.[0-9]+\.0\.weight",
            base=Base(known=r"layers\.|norm\.|head\.|scale$", layer=rf"layers\.{INDEX}\."),
        ),
    )

    def proved(self, evidence: Evidence) -> dict[str, Proof]:
        return proved(evidence)


DESCRIBED: Family[DescribedArgs, None] = Family(
    "described", DescribedArgs, f"{__name__}.migrations", f"{__name__}.schemas", tensors=DescribedTensors
)


class Model(nn.Module):
    """A stack of layers, with a buffer, a shared tensor and batch statistics."""

    def __init__(self, widths: tuple[int, ...], slope: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        layers = [nn.Sequential(nn.Linear(width, width), nn.LeakyReLU(slope)) for width in widths]
        self.layers, self.norm = nn.Sequential(*layers), nn.BatchNorm1d(widths[-1])
        self.head = nn.Linear(widths[-1], 1)
        self.register_buffer("scale", torch.ones(1))
        self.layers[-1][0].bias = self.layers[0][0].bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.head(self.norm(self.layers(x))) * self.scale
        return found


def resolved(folder: Path, family: Family[Any, Any], **changes: Any) -> Effective[Any, Any]:
    """Return the effective configuration of a fresh run."""
    path = folder / "model.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('{"depth": 2}')
    return tttcfg.resolve(overrides=changes, model_config=path, family=family)


def build(model_config: Mapping[str, Any], effective: Effective[Any, Any]) -> Model:
    training = effective.training
    layers = effective.ttt
    if layers is None:
        model = Model((training.width,) * model_config["depth"], training.slope)
    else:
        model = Model(layers.widths, layers.slope)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name.startswith("head."))
    return model.to(getattr(torch, training.precision))


class Training:
    """A run of one of the families."""

    def __init__(
        self,
        folder: Path,
        family: Family[Any, Any],
        wrap: Callable[[nn.Module], nn.Module] = lambda model: model,
        run_dir: Path | None = None,
        **changes: Any,
    ) -> None:
        self.effective = resolved(folder, family, **changes)
        self.model = wrap(build(MODEL, self.effective))
        trained = [one for one in self.model.parameters() if one.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, lr=self.effective.training.lr)
        self.state = State()
        self.checkpointer = Checkpointer(
            self.model,
            self.state,
            run_dir or folder / "run",
            MODEL,
            self.optimizer,
            2,
            training_args=self.effective,
            fingerprint=False,
        )

    def train(self, steps: int) -> None:
        width = self.effective.training.width
        for _ in range(steps):
            self.optimizer.zero_grad()
            self.model(torch.randn(4, width, dtype=next(self.model.parameters()).dtype)).square().mean().backward()
            self.optimizer.step()
            self.state.step += 1

    def save(self, steps: int = 1, **options: Any) -> Path:
        self.train(steps)
        return self.checkpointer.save_checkpoint(**options)
