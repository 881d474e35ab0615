"""The settings that every flavour of the trainer has."""

from typing import Literal

from tttcfg import Family, Role, Section, Text, Whole, setting


class Model(Section):
    dim: Whole = setting(512, role=Role.ARCHITECTURE, unit="channels", ge=1, description="Width of the model.")
    layers: Whole = setting(12, role=Role.ARCHITECTURE, unit="layers", ge=1, description="Layers of the model.")
    heads: Whole = setting(8, role=Role.ARCHITECTURE, unit="heads", ge=1, description="Heads of each layer.")


class Inner(Section):
    base_lr: float = setting(
        1.0, role=Role.COMPUTATION, unit="dimensionless", ge=0, description="Learning rate of the inner loop."
    )
    mini_batch: Whole = setting(
        16, role=Role.COMPUTATION, unit="tokens", ge=1, description="Tokens of one step of the inner loop."
    )
    activation: Literal["gelu_erf", "gelu_tanh", "silu"] = setting(
        "gelu_tanh",
        role=Role.COMPUTATION,
        description="Activation of the inner MLP; tanh is the approximation of GELU.",
    )
    rotary: Literal["off", "mini_batch", "sequence"] = setting(
        "mini_batch", role=Role.COMPUTATION, description="What rotary positions count in: nothing, or tokens of which."
    )


class Optim(Section):
    lr: float = setting(3e-4, role=Role.TRAINING, unit="dimensionless", gt=0, description="Peak learning rate.")
    weight_decay: float = setting(
        0.1, role=Role.TRAINING, unit="dimensionless", ge=0, description="Weight decay of AdamW."
    )
    clip: float = setting(
        1.0, role=Role.TRAINING, unit="dimensionless", ge=0, description="Bound of the gradient's norm; 0 for none."
    )


class BaseArgs(Section):
    run_dir: Text = setting("runs", role=Role.RUN, unit="path", description="Folder of the run.")
    seed: Whole = setting(0, role=Role.TRAINING, unit="dimensionless", ge=0, description="Seed of the random numbers.")
    steps: Whole = setting(10_000, role=Role.TRAINING, unit="steps", ge=1, description="Steps of the training.")
    model: Model = Model()
    inner: Inner = Inner()
    optim: Optim = Optim()


BASE = Family(
    name="flavours_base", model=BaseArgs, migrations="flavours.base.migrations", schemas="flavours.base.schemas"
)
