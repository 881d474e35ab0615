"""What a family knows of tensors."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, ClassVar

from tttcfg.errors import InputError, Place, Problem
from tttcfg.evidence.dialects.dialect import Dialect
from tttcfg.evidence.evidence import Evidence, Proof
from tttcfg.evidence.tensor_names import DIALECTS
from tttcfg.evidence.verifier import Verifier
from tttcfg.safetensors.header import Header


class TensorKnowledge(ABC):
    """What a family knows of tensors; its declaration gives a class of this kind as `Family.tensors`.

    A class defines `proved` and its `verifier`; of the rest it defines what applies to it.

    Attributes:
        verifier: What checks one configuration against tensors.
        dialects: Dialects that the family's configurations describe: names of tttcfg's, beside those that name the
            family; and for names of tensors that tttcfg does not know, a `Dialect` of the family's own, which comes
            before tttcfg's where both know the names.
        binder: The call that binds a configuration to weights that `read` reads, into which nothing can be written as
            into safetensors. Empty where there is none.
    """

    verifier: ClassVar[type[Verifier[Any, Any]]] = Verifier
    dialects: ClassVar[Collection[str | Dialect]] = ()
    binder: ClassVar[str] = ""

    def __init_subclass__(cls) -> None:
        ours = [name for name in vars(TensorKnowledge) if not name.startswith("_")]
        unknown = [name for name in vars(cls) if not name.startswith("_") and name not in ours]
        if unknown:  # a misspelt name would otherwise have no effect
            raise TypeError(f"{cls.__name__} has {', '.join(unknown)}; tttcfg reads {', '.join(ours)}")
        for one in vars(cls).get("dialects", ()):
            if fault := _fault_of(one):
                raise TypeError(f"{cls.__name__}.dialects: {fault}")

    @abstractmethod
    def proved(self, evidence: Evidence) -> Mapping[str, Proof]:
        """Return what tensors prove, by the dotted path of the field; nothing for another program's tensors.

        Values are plain, as JSON has them. `evidence.dialect` is the program; `evidence.header` has all names, shapes
        and dtypes, for what the rest of the evidence does not show.
        """

    def equivalent(
        self, proved: Mapping[str, Proof], given: Mapping[str, Any], model: Mapping[str, Any] | None
    ) -> Iterable[str]:
        """Return the fields that configuration files give in another form than tensors prove, with the same meaning.

        Args:
            proved: What `proved` returned.
            given: What the files give, by dotted path.
            model: The model's config.json; None where there is none.
        """
        return ()

    def as_saved(self, recorded: Callable[[str], Any], evidence: Evidence) -> Mapping[str, Proof]:
        """Return the fields that saving changed, as its configuration specifies: their values in the weights.

        A proof's `tensor` is the explanation. Only an override comes before them.

        Args:
            recorded: Returns the recorded value of a field when the weights were saved, if there is one.
            evidence: What the tensors show.
        """
        return {}

    def undetermined_fields(self, evidence: Evidence, training: Any) -> Collection[str]:
        """Return the fields that have to be given, because tensors of unknown names do not determine them."""
        return ()

    def in_model_config(self, model: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the values of the family's fields in a model's config.json, by dotted path."""
        return {}

    def read(self, path: str) -> Header:
        """Read names, shapes and dtypes of the tensors in a file that is named in the family's `weight_names`.

        The header's `save` identifies this save, if anything does.

        Raises:
            InputError: It cannot be read.
        """
        why = "the family lists it in weight_names, and its tensors have no read"
        raise InputError(Problem("plugin", f"is of a format that cannot be read: {why}", place=Place(path)))


def _fault_of(dialect: str | Dialect) -> str:
    """Return what is wrong with one of a class's dialects; empty where nothing is."""
    if isinstance(dialect, str):
        known = ", ".join(DIALECTS)
        return "" if dialect in DIALECTS else f"{dialect!r} is the name of none ({known}); give a Dialect of your own"
    if dialect.name in DIALECTS:
        return f"{dialect.name!r} is the name of one of tttcfg's; give another name"
    for name, pattern in dialect.patterns.items():
        try:
            groups = re.compile(pattern).groups
        except re.error as error:
            return f"{name} of {dialect.name} is no regular expression: {error}"
        if name in dialect.layer_patterns and groups != 1:
            return f"{name} of {dialect.name} has {groups} groups, not the layer's index as the only one"
    return ""


class NoTensorKnowledge(TensorKnowledge):
    """The knowledge of a family that declares none: nothing is proved, and nothing contradicted."""

    def proved(self, evidence: Evidence) -> Mapping[str, Proof]:
        """Return nothing."""
        return {}
