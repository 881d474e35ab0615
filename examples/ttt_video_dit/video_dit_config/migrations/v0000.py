"""Version 0: the job configuration as it was published, in TOML files and flags; no checkpoint carried it."""

from typing import Any

from tttcfg.migration.chain import Migration
from tttcfg.migration.operations import Declare
from tttcfg.schema.fragments import Fragment, boolean, choice, integer, nullable, number, text


def section(name: str, /, **fields: Fragment) -> tuple[Declare, ...]:
    return tuple(Declare(f"{name}.{field}", shape) for field, shape in fields.items())


def count(default: int, minimum: int = 1, **bounds: Any) -> Fragment:
    return integer(default, minimum=minimum, **bounds)


PATH = nullable(text(None))
SCHEDULE = choice("linear", "linear", "cosine")
LENGTHS = ("3sec", "9sec", "18sec", "30sec", "63sec")

migration = Migration(
    version=0,
    date="2025-04-07",
    summary="the job configuration as published",
    evidence="test-time-training/ttt-video-dit e2a287c to 6c316a7, ttt/infra/config_manager.py, unchanged",
    operations=(
        *section(
            "job",
            config_file=PATH,
            exp_name=text("default job"),
            dump_folder=PATH,
            seed=count(42, 0),
        ),
        *section(
            "model",
            name={"const": "cogvideo", "default": "cogvideo", "type": "string"},
            size=choice("5B", "5B", "debug"),
            video_length=choice("3sec", *LENGTHS),
            norm_eps=number(1e-6, exclusiveMinimum=0),
            scale_factor=number(1.0),
            ssm_layer=choice("ttt_mlp", "ttt_mlp", "ttt_linear"),
            ttt_base_lr=number(0.1, exclusiveMinimum=0),
            mini_batch_size=count(64),
        ),
        *section(
            "training",
            adapter_method=nullable({"default": None, "enum": ["sft", "qkvo"], "type": "string"}),
            dataset_path=PATH,
            jsonl_paths=PATH,
            global_batch_size=count(8),
            grad_accum_steps=count(1),
            warmup_steps=count(50, 0),
            steps=count(5000),
            gc_freq=count(50),
        ),
        *section(
            "optimizer",
            name={"const": "AdamW", "default": "AdamW", "type": "string"},
            lr=number(1e-4, minimum=0),
            lr_end=number(0.0, minimum=0),
            lr_ssm=number(1e-4, minimum=0),
            lr_schedule=SCHEDULE,
            lr_ssm_schedule=SCHEDULE,
            gradient_clipping_norm=number(0.1, minimum=0),
        ),
        *section(
            "checkpoint",
            init_state_dir=PATH,
            interval=count(0, 0),
            resume=boolean(False),
            resume_step=count(-1, -1),
            timeout_minutes=count(0, 0),
        ),
        *section(
            "parallelism",
            fsdp_unsharded_dtype=choice("bfloat16", "float32", "bfloat16", "float16"),
            tp_sharding=count(1),
            dp_sharding=count(8),
            dp_replicate=count(1),
        ),
        *section(
            "remat",
            transformer_checkpoint_layer_group_size=count(1),
            scan_checkpoint_group_size=count(16, 0),
            forward_ssm=boolean(False),
            reverse_ssm=boolean(False),
            attention=boolean(False),
            mlp=boolean(False),
            seq_modeling_block=boolean(False),
            shard_transformer_inputs=boolean(False),
        ),
        *section("comm", init_timeout_seconds=count(1200)),
        *section(
            "wandb",
            disable=boolean(False),
            project=text("ttt-video"),
            entity=text("default"),
            log_interval=count(50),
            alert=boolean(False),
        ),
        *section(
            "eval",
            input_file=PATH,
            output_dir=text("./output"),
            image_width=count(720, 8),
            image_height=count(480, 8),
            sampling_fps=count(16),
            sampling_num_frames=count(13),
            latent_channels=count(16),
            num_denoising_steps=count(50),
            scale_factor=number(0.7),
            dtype=choice("bfloat16", "bfloat16", "float16", "float32"),
            vae_checkpoint_path=PATH,
            vae_scale_factor=number(1.0),
            txt_maxlen=count(498),
            t5_model_dir=PATH,
        ),
        *section("guider", scale=count(6, 0), exp=count(5, 0), num_steps=count(50)),
        *section("denoiser", num_idx=count(1000), quantize_c_noise=boolean(False)),
        *section("discretization", shift_scale=number(1.0, exclusiveMinimum=0)),
    ),
)
