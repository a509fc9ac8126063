"""Trainer subclass, stages, callbacks and experiments."""
