"""What role and unit a setting most likely has, guessed from its name, its sections and its type.

A guess is only where reading starts: `tttcfg schema check` refuses it until it is confirmed. Where nothing else is
known, the guess is `computation`: the checkpoint's value is then restored, and every departure from it is reported.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import PurePath
from typing import NamedTuple

from tttcfg.schema.fields import UNIT_TO_EDIT, Role, is_secret
from tttcfg.secrets import looks_secret


class Rule(NamedTuple):
    """A role of the settings whose name, or one of whose sections, has one of these words."""

    role: Role
    words: str
    of_section: bool = False


_PUBLIC_TOKENS = re.compile(r"(^|_)(pad|eos|bos|unk|mask|sep|cls|special|image|audio|text|start|stop|end)_token$")
_RULES = (
    # words that decide wherever they are
    Rule(Role.RUN, "dir dirs directory folder path paths file files filename url host port device devices"),
    Rule(Role.RUN, "train_data eval_data valid_data val_data test_data hostname"),
    Rule(Role.RUN, "log logs logging logger verbose wandb tensorboard save saving dump resume keep project entity"),
    Rule(Role.RUN, "num_workers workers prefetch prefetch_factor pin_memory compile profile profiling profiler trace"),
    Rule(Role.RUN, "every freq frequency interval timeout run_name exp_name experiment description tags print"),
    Rule(Role.COMPUTATION, "mini_batch mini_batch_size inner_lr base_lr"),
    Rule(Role.TRAINING, "seed"),
    # sections of the program's own work
    Rule(Role.RUN, "job checkpoint checkpointing ckpt metrics metric profiling profiler logging log wandb run", True),
    Rule(Role.RUN, "comm memory_estimation memory compile fault_tolerance activation_checkpoint remat debug", True),
    Rule(Role.RUN, "hub output paths cluster slurm launcher", True),
    Rule(Role.COMPUTATION, "dtype precision"),
    # how it is trained
    Rule(Role.TRAINING, "lr learning_rate warmup decay weight_decay init dropout momentum beta beta1 beta2 betas"),
    Rule(Role.TRAINING, "batch batch_size steps step epochs epoch iters grad gradient clip max_norm accumulation"),
    Rule(Role.TRAINING, "optimizer optim schedule scheduler loss shuffle augment augmentation ema teacher dataset"),
    Rule(Role.RUN, "parallelism parallel distributed", True),
    Rule(Role.TRAINING, "optimizer optim optimiser lr_scheduler scheduler schedule training train trainer", True),
    Rule(Role.TRAINING, "data dataset dataloader validation eval evaluation experimental loss", True),
    # what is built
    Rule(Role.ARCHITECTURE, "dim dims layer layers head heads n_head n_layer vocab vocab_size hidden width depth"),
    Rule(Role.ARCHITECTURE, "channels experts features hidden_size intermediate_size d_model d_ff n_embd kernel_size"),
    Rule(Role.ARCHITECTURE, "patch patch_size tie tied tying bias qkv_bias lora_rank inner_size multiple_of"),
)
"""The first that fits counts; words are whole ones, between underscores."""
_INSIDE_COMPUTATION = frozenset({"ttt", "inner", "inner_loop", "rope"})
"""Sections of what layers do while they compute: learning rates and batches there are not those of the training."""

_UNITS = (
    (re.compile(r"(^|_)(seconds|secs?)$"), "seconds", "seconds"),
    (re.compile(r"(^|_)minutes$"), "minutes", "minutes"),
    (re.compile(r"(^|_)hours$"), "hours", "hours"),
    (re.compile(r"(^|_)(ms|milliseconds)$"), "milliseconds", "milliseconds"),
    (re.compile(r"(^|_)bytes$"), "bytes", "bytes"),
    (re.compile(r"(^|_)mb$"), "megabytes", "megabytes"),
    (re.compile(r"(^|_)gb$"), "gigabytes", "gigabytes"),
    (re.compile(r"(^|_)(ratio|fraction|factor|scale|multiplier|multiple_of)$"), "dimensionless", "dimensionless"),
    (re.compile(r"mini_batch(_size)?$"), "tokens", ""),
    (re.compile(r"batch_size$"), "samples", ""),
    (re.compile(r"(^|_)epochs?$"), "epochs", "epochs"),
    (re.compile(r"(^|_)(steps?|iters?|iterations)$|_every$|(^|_)every_|_freq$"), "steps", ""),
    (
        re.compile(r"vocab(_size)?$|seq_len(gth)?$|(^|_)context(_(size|length))?$|block_size$|position_embeddings$"),
        "tokens",
        "",
    ),
    (
        re.compile(r"(^|_)(dim|dims|hidden_size|intermediate_size|width|channels|features|d_model|d_ff|n_embd)$"),
        "channels",
        "",
    ),
    (re.compile(r"(^|_)(seed|port|version|index|idx|id)$"), "number", ""),
    (re.compile(r"(^|_)degree$"), "ranks", ""),
    (re.compile(r"(^|_)(depth|layers?)$"), "layers", ""),
    (re.compile(r"(^|_)heads?$"), "heads", ""),
    (re.compile(r"(^|_)experts$"), "experts", ""),
    (re.compile(r"(^|_)(top_k)$"), "candidates", ""),
    (re.compile(r"(^|_)workers$"), "processes", ""),
    (
        re.compile(
            r"(^|_)(lr|coef)(_|$)|(^|_)(learning_rate|beta\d?|betas|eps|epsilon|momentum|decay|dropout|theta|weight|alpha|gamma|"
            r"temperature|top_p|p|prob|probability|rate|std|max_norm|norm|threshold|softcap|sigma|smoothing)$"
        ),
        "",
        "dimensionless",
    ),
)
"""Patterns of names, with the unit of a whole number and that of any number; empty where it is not safe to guess."""
_COUNTED = re.compile(r"^(?:num|n|max|min)_(\w+s)$")


def role_of(path: str, *, kinds: Collection[type]) -> Role:
    """Return the role that a setting of this dotted name most likely has.

    Args:
        kinds: The types of its values. A secret is free text, and a path is where this run reads or writes.
    """
    *sections, name = path.lower().split(".")
    if any(is_secret(one) for one in kinds):
        return Role.SECRET
    if {*kinds} == {str} and looks_secret(name) and not _PUBLIC_TOKENS.search(name):
        return Role.SECRET
    if any(issubclass(one, PurePath) for one in kinds):
        return Role.RUN
    if _INSIDE_COMPUTATION & {*sections} and _fits("lr base_lr learning_rate batch batch_size", name):
        return Role.COMPUTATION
    for rule in _RULES:
        if any(_fits(rule.words, one) for one in (sections if rule.of_section else [name])):
            return rule.role
    return Role.COMPUTATION


def _fits(words: str, name: str) -> bool:
    return any(f"_{word}_" in f"_{name}_" for word in words.split())


def unit_of_number(name: str, *, whole: bool) -> str:
    """Return what a number of this name most likely counts; `EDIT`, which its author replaces, where that is open."""
    name = name.lower()
    for pattern, of_whole, of_any in _UNITS:
        if pattern.search(name) and (unit := of_whole if whole else of_any):
            return unit
    counted = _COUNTED.match(name)
    return counted[1].replace("_", " ") if counted and whole else UNIT_TO_EDIT


def is_path(name: str) -> bool:
    """Whether a text of this name is a path."""
    return _fits("dir directory folder path file", name.lower())


def description_of(name: str) -> str:
    """Return a setting's name as words, for a field that nothing describes."""
    words = name.strip("_").replace("_", " ")
    return f"{words[:1].upper()}{words[1:]}."
