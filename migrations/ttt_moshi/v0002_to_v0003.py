"""Version 3: resuming, and unused settings for output normalisation and inner-loss logging."""

from tttcfg.migration.chain import Migration
from tttcfg.migration.operations import Add
from tttcfg.schema.fragments import boolean, integer, nullable, number, text

NO_RESUME = "runs could not resume"
NO_KNOB = "the knob did not exist (no layer ever read it)"
NO_LOG = "inner losses were not logged"

migration = Migration(
    version=3,
    date="2025-10-19",
    summary="resuming, optimiser state in checkpoints",
    evidence="24 saved configurations of this shape; the date is the latest possible",
    operations=(
        Add("ttt.override_gating_alpha_on_resume", boolean(False), False, NO_RESUME),
        Add("ttt.normalize_ttt_output", boolean(False), False, NO_KNOB),
        Add("ttt.target_output_norm", number(25.0, exclusiveMinimum=0), 25.0, NO_KNOB),
        Add("ttt.log_inner_loop_losses", boolean(False), False, NO_LOG),
        Add("ttt.inner_loop_log_interval", integer(1), 1, NO_LOG),
        Add("ttt.save_inner_loop_plots", boolean(False), False, NO_LOG),
        Add("ttt.inner_loop_plot_dir", text("./evaluation_plots/inner_loop"), "./evaluation_plots/inner_loop", NO_LOG),
        Add("resume_from", nullable(text(None)), None, NO_RESUME),
        Add("reset_optimizer", boolean(False), False, NO_RESUME),
        Add("reset_step", boolean(False), False, NO_RESUME),
    ),
)
