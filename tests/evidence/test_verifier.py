"""One configuration and what tensors prove, field by field."""

from __future__ import annotations

from tests.evidence.dialects.tensors import Size, evidence_of, moshi
from tttcfg import TrainingArgs
from tttcfg.evidence.evidence import Proof
from tttcfg.evidence.verifier import NOT_SHOWN, VERIFIED, Verifier


def test_fields_are_verified_contradicted_or_not_shown() -> None:
    verifier = Verifier(TrainingArgs(), None, evidence_of(moshi(Size())), None, "", lambda _: "default")
    proved = {"lora.rank": Proof(8, "a.lora_A.weight"), "lora.enable": Proof(False, "no adapter")}
    fields = dict(verifier.fields(proved, "lora.rank", "lora.enable", "full_finetuning"))
    assert fields["lora.enable"] == VERIFIED
    assert fields["full_finetuning"] == NOT_SHOWN
    wrong = fields["lora.rank"]
    assert (wrong.outcome, wrong.configured, wrong.advice) == ("contradicted", "64", "override lora.rank=8")
    assert wrong.shown == "the weights have 8 (a.lora_A.weight)"
