"""The family of a third-party trainer, whose tensor names are of no dialect of tttcfg."""

from __future__ import annotations

from collections.abc import Iterator

from tttcfg import Family, Role, Section, setting
from tttcfg.evidence.dialects.dialect import INDEX, Base, Dialect
from tttcfg.evidence.evidence import Evidence, Proof
from tttcfg.evidence.knowledge import TensorKnowledge
from tttcfg.evidence.verifier import Verdict, Verifier

FIRST = "net.0.weight"
NAMES = Dialect(
    name="net",
    title="the net trainer",
    signature=r"net\.[0-9]+\.weight",
    base=Base(known=r"net\.", layer=rf"net\.{INDEX}\."),
)


class Net(Section):
    """The configuration of the trainer."""

    width: int = setting(8, role=Role.ARCHITECTURE, unit="channels", ge=1, description="Width of the layers.")
    depth: int = setting(2, role=Role.ARCHITECTURE, unit="layers", ge=1, description="Number of layers.")
    slope: float = setting(0.5, role=Role.COMPUTATION, unit="dimensionless", description="Slope below zero.")


def proved(evidence: Evidence) -> dict[str, Proof]:
    """Return the width, by the shape of the first layer, and the number of layers."""
    if evidence.dialect != NAMES or FIRST not in evidence.header:
        return {}
    found = {"width": Proof(evidence.header.shape(FIRST)[0], FIRST)}
    return found | ({"depth": evidence.dimensions["num_layers"]} if "num_layers" in evidence.dimensions else {})


class NetVerifier(Verifier[Net, None]):
    """Checks the two fields that tensors show."""

    def verdicts(self) -> Iterator[tuple[str, Verdict]]:
        """Yield the verdict on every field that shapes tensors."""
        yield from self.fields(proved(self.evidence), "width", "depth")


class NetTensors(TensorKnowledge):
    """What the trainer's tensors prove."""

    verifier = NetVerifier
    dialects = (NAMES,)

    def proved(self, evidence: Evidence) -> dict[str, Proof]:
        return proved(evidence)


NET: Family[Net, None] = Family("net", Net, f"{__name__}.migrations", f"{__name__}.schemas", tensors=NetTensors)
