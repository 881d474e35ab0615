"""The effective configuration held against a checkpoint's tensors, without loading one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from tttcfg.document import Document
from tttcfg.effective import Finding, Origin, Verification, Weights, finding
from tttcfg.errors import Problem
from tttcfg.family import Derived, Family
from tttcfg.fields import Role, leaves
from tttcfg.weights.binding import binding_of, contradiction
from tttcfg.weights.evidence import gather
from tttcfg.weights.judgement import NO_TENSOR, UNKNOWN_NAMES, Judgement
from tttcfg.weights.shards import read_weights

_GRAVITY = ("unverifiable", "verified", "contradicted")


def weights_of(paths: tuple[str, ...], family: Family) -> Weights:
    """Read the header of a checkpoint's weights, and what it proves of the family's fields.

    Raises:
        InputError: The file cannot be read or breaks the format.
    """
    header = read_weights(paths[0])
    evidence = gather(header)
    return Weights(header, evidence, import_module(family.weights).proved(evidence), paths[1:])


def verification(
    family: Family,
    weights: Weights,
    training: Any,
    derived: Derived,
    model: tuple[Mapping[str, Any] | None, str],
    document: Document | None,
    origins: Mapping[str, tuple[Origin, ...]],
) -> Verification:
    """Hold a configuration against tensors.

    Args:
        model: The model's config.json, and what it is called.
        document: What the checkpoint carries, for the binding.
        origins: Where each value comes from; an override of what no shape depends on contradicts nothing.
    """

    def overridden(name: str) -> bool:
        return origins[name][0].source == "override"

    module = import_module(family.weights)
    judge = module.Judge(training, derived.config, weights.evidence, *model, overridden)
    said: list[tuple[str, Judgement]] = list(judge.judgements())
    default = NO_TENSOR if weights.evidence.dialect else UNKNOWN_NAMES
    verdicts = dict.fromkeys(decisive(family, derived), default)
    for name, judgement in said:
        standing = verdicts.get(name)
        if standing is not None and _GRAVITY.index(judgement.verdict) >= _GRAVITY.index(standing.verdict):
            verdicts[name] = judgement
    binding = binding_of(weights.header, document, family)
    found = [*_of_the_file(weights, family), *_contradictions(said, origins)]
    if binding.state == "contradicted":
        found.append(finding("error", contradiction(binding)))
    elif binding.state == "unbound":
        found.append(Finding("info", "unbound", "", f"weights and configuration are not bound: {binding.reason}"))
    found += [
        Finding("info", "unverifiable", name, one.shown)
        for name, one in verdicts.items()
        if one.verdict == "unverifiable"
    ]
    return Verification(weights, module.in_model_config(model[0] or {}), verdicts, *binding, tuple(found))


def decisive(family: Family, derived: Derived) -> Iterator[str]:
    """Yield the dotted path of every architecture and computation field, the layers' own ones included."""
    known = {leaf.name for leaf in family.decisive_leaves}
    yield from (leaf.name for leaf in family.decisive_leaves)
    if derived.config is not None:
        for leaf in leaves(type(derived.config)).values():
            name = f"ttt.{leaf.name}"
            if leaf.role in (Role.ARCHITECTURE, Role.COMPUTATION) and name not in known:
                yield name


def _of_the_file(weights: Weights, family: Family) -> Iterator[Finding]:
    """Yield what is wrong with the weights themselves."""
    header, evidence = weights.header, weights.evidence
    if header.truncated is not None:
        yield finding("error", header.truncated)
    for problem in evidence.problems:
        yield finding("warning" if problem.code == "dialect" else "error", problem)
    if evidence.dialect is not None and not evidence.dialect.trained_here:
        message = f"are of {evidence.dialect.title}, which a configuration of {family.name} does not describe"
        yield finding("error", Problem("dialect", f"the weights {message}", place=header.name))
    if weights.beside:
        message = f"lies beside {header.name}, and was not read; give its path to hold the configuration against it"
        yield Finding("warning", "weights", "", f"{', '.join(weights.beside)} {message}")


def _contradictions(said: list[tuple[str, Judgement]], origins: Mapping[str, tuple[Origin, ...]]) -> Iterator[Finding]:
    for name, one in said:
        if one.verdict != "contradicted" or not one.advice:
            continue
        origin = origins[name][0] if name in origins else None
        where = one.where or (_place(origin) if origin is not None else "")
        source = f" ({where})" if where else ""
        yield finding("error", Problem("contradiction", f"is {one.said}{source}, but {one.shown}; {one.advice}", name))


def _place(origin: Origin) -> str:
    return origin.where if origin.where.startswith(origin.source) else f"{origin.source} {origin.where}"
