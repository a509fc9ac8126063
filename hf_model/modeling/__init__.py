"""Base checkpoints by name, Hub id or folder; heads; freezing; the baseline CNN."""
