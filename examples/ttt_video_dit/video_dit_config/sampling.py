"""How videos are sampled: nothing here belongs to the weights, so the file takes precedence over the checkpoint."""

from typing import Any, Literal

from tttcfg import Role, Section, Text, Whole, setting


def _run(default: object, unit: str, description: str, **constraints: Any) -> Any:
    """Declare a run setting; `unit` is empty where the type implies it."""
    return setting(default, role=Role.RUN, unit=unit, description=description, **constraints)


class EvalConfig(Section):
    """What is sampled, and where it goes."""

    input_file: Text | None = _run(None, "path", "Prompts (JSON lines).")
    output_dir: Text = _run("./output", "path", "Folder of the videos.")
    image_width: Whole = _run(720, "pixels", "Width of a video.", ge=8)
    image_height: Whole = _run(480, "pixels", "Height of a video.", ge=8)
    sampling_fps: Whole = _run(16, "frames per second", "Speed at which a video plays.", ge=1)
    sampling_num_frames: Whole = _run(13, "latent frames", "Length of a video.", ge=1)
    latent_channels: Whole = _run(16, "channels", "Channels of a latent frame.", ge=1)
    num_denoising_steps: Whole = _run(50, "steps", "Steps of the sampler.", ge=1)
    dtype: Literal["bfloat16", "float16", "float32"] = _run("bfloat16", "", "Floating-point type of the sampler.")
    vae_checkpoint_path: Text | None = _run(None, "path", "Weights of the VAE.")
    vae_scale_factor: float = _run(1.0, "dimensionless", "Factor on the latents that the VAE decodes.")
    txt_maxlen: Whole = _run(498, "tokens", "Longest prompt.", ge=1)
    t5_model_dir: Text | None = _run(None, "path", "Folder of the T5 encoder.")


class GuiderConfig(Section):
    """Classifier-free guidance."""

    scale: Whole = _run(6, "dimensionless", "Strength of the guidance.", ge=0)
    exp: Whole = _run(5, "dimensionless", "Exponent of its schedule.", ge=0)


class DenoiserConfig(Section):
    """The denoiser of the sampler."""

    num_idx: Whole = _run(1000, "steps", "Noise levels.", ge=1)
    quantize_c_noise: bool = _run(False, "", "Round noise levels to whole ones.")


class DiscretizationConfig(Section):
    """The noise schedule of the sampler."""

    shift_scale: float = _run(1.0, "dimensionless", "Shift of the schedule.", gt=0)
