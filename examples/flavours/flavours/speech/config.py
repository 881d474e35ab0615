"""What speech adds: audio, and an inner state that is carried from chunk to chunk."""

from flavours.base.config import BASE, BaseArgs, Inner
from tttcfg import Family, Role, Section, Whole, setting


class SpeechInner(Inner):
    mini_batch: Whole = setting(
        64, role=Role.COMPUTATION, unit="tokens", ge=1, description="Tokens of one step of the inner loop."
    )
    carry: bool = setting(
        True, role=Role.COMPUTATION, description="Whether the inner weights are carried from chunk to chunk."
    )


class Audio(Section):
    sample_rate: Whole = setting(
        24_000, role=Role.COMPUTATION, unit="hertz", ge=1, description="Samples of a second of sound."
    )
    codebooks: Whole = setting(
        8, role=Role.ARCHITECTURE, unit="codebooks", ge=1, description="Codebooks that the model predicts."
    )
    chunk: Whole = setting(
        10_000,
        role=Role.COMPUTATION,
        unit="milliseconds",
        gt=0,
        le=3_600_000,
        description="How much sound is read at a time.",
    )


class SpeechArgs(BaseArgs):
    inner: SpeechInner = SpeechInner()
    audio: Audio = Audio()


SPEECH = Family(
    name="flavours_speech",
    model=SpeechArgs,
    migrations="flavours.speech.migrations",
    schemas="flavours.speech.schemas",
    parent=BASE,
)
