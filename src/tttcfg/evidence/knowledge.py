"""What a family knows of tensors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, ClassVar

from tttcfg.errors import InputError, Place, Problem
from tttcfg.evidence.evidence import Evidence
from tttcfg.evidence.readings import Proof
from tttcfg.evidence.verifier import Verifier
from tttcfg.safetensors.header import Header


class TensorKnowledge(ABC):
    """What a family knows of tensors; its declaration gives a class of this kind as `Family.tensors`.

    A class says what is `proved`, and names its `verifier`; of the rest it leaves out what it has nothing to say of.

    Attributes:
        verifier: What checks one configuration against tensors.
        dialects: Names of dialects that the family's configurations describe, beside those that name the family.
        binder: What binds a configuration to weights that `read` reads, as it is to be typed: nothing can be written
            into them as it can into safetensors. Empty where nothing does.
    """

    verifier: ClassVar[type[Verifier[Any, Any]]] = Verifier
    dialects: ClassVar[Collection[str]] = ()
    binder: ClassVar[str] = ""

    def __init_subclass__(cls) -> None:
        ours = [name for name in vars(TensorKnowledge) if not name.startswith("_")]
        unknown = [name for name in vars(cls) if not name.startswith("_") and name not in ours]
        if unknown:  # a misspelled name would otherwise verify everything
            raise TypeError(f"{cls.__name__} has {', '.join(unknown)}; what tttcfg asks for is {', '.join(ours)}")

    @abstractmethod
    def proved(self, evidence: Evidence) -> Mapping[str, Proof]:
        """Return what tensors prove, by the dotted path of the field; of another program's tensors, nothing.

        Values are plain, as JSON has them.
        """

    def equivalent(
        self, proved: Mapping[str, Proof], given: Mapping[str, Any], model: Mapping[str, Any] | None
    ) -> Iterable[str]:
        """Return the fields that configuration files write in another form than tensors prove, with the same meaning.

        Args:
            proved: What `proved` returned.
            given: What the files give, by dotted path.
            model: The model's config.json; None where there is none.
        """
        del proved, given, model
        return ()

    def as_saved(self, said: Callable[[str], Any], evidence: Evidence) -> Mapping[str, Proof]:
        """Return the fields that saving has changed, as its configuration said it would: what they are in the weights.

        A proof's `tensor` is the sentence that says so. They count before every source but an override.

        Args:
            said: Returns what a field was when the weights were saved, as far as anything says so.
        """
        del said, evidence
        return {}

    def left_open(self, evidence: Evidence, training: Any) -> Collection[str]:
        """Return the fields that somebody has to give, because tensors of unknown names leave them open."""
        del evidence, training
        return ()

    def in_model_config(self, model: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what a model's config.json says of the family's fields, by dotted path."""
        del model
        return {}

    def read(self, path: str) -> Header:
        """Read names, shapes and dtypes of the tensors in a file that is named in the family's `weight_names`.

        The header's `save` says what tells this save from every other, if anything does.

        Raises:
            InputError: It cannot be read.
        """
        message = "is of a format that nobody reads: the family names it in weight_names, and its tensors have no read"
        raise InputError(Problem("plugin", message, place=Place(path)))


class NoTensorKnowledge(TensorKnowledge):
    """Of a family that declares nothing about tensors: nothing is proved, and nothing contradicted."""

    def proved(self, evidence: Evidence) -> Mapping[str, Proof]:
        """Return nothing."""
        del evidence
        return {}
