"""What this trainer adds: dropout of the TTT layers, and stopping early."""

from tttcfg import Extension, Role, Section, Text, Whole, setting


class Noise(Section):
    dropout: float = setting(
        0.1, role=Role.COMPUTATION, unit="dimensionless", ge=0, lt=1, description="Dropout of the TTT layers' output."
    )
    patience: Whole = setting(
        5, role=Role.TRAINING, unit="evaluations", ge=1, description="Evaluations without progress before it stops."
    )
    cache: Text = setting("cache", role=Role.RUN, unit="path", description="The folder of its own files.")


EXTENSION = Extension(name="noise", model=Noise, migrations="noise.migrations", schemas="noise.schemas", needs=7)
