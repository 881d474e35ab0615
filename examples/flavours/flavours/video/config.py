"""What video adds: frames in patches, and the directions that a layer reads them in."""

from typing import Literal

from flavours.base.config import BASE, BaseArgs, Model
from tttcfg import Family, Role, Section, Whole, setting


class VideoModel(Model):
    patch: Whole = setting(2, role=Role.ARCHITECTURE, unit="pixels", ge=1, description="Side of a patch of a frame.")
    directions: Literal["forward", "both"] = setting(
        "both", role=Role.COMPUTATION, description="In which directions a layer reads the frames."
    )


class Frames(Section):
    count: Whole = setting(48, role=Role.COMPUTATION, unit="frames", ge=1, description="Frames of a video.")
    rate: float = setting(16.0, role=Role.TRAINING, unit="hertz", gt=0, description="Frames of a second.")


class VideoArgs(BaseArgs):
    model: VideoModel = VideoModel()
    frames: Frames = Frames()


VIDEO = Family(
    name="flavours_video",
    model=VideoArgs,
    migrations="flavours.video.migrations",
    schemas="flavours.video.schemas",
    parent=BASE,
)
