"""Where values come from: YAML, JSON and TOML files, and overrides; each value with its place."""
