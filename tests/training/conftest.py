"""The Hub stand-in, for runs that publish, and one finished run for the tests that look at it."""

from __future__ import annotations

from hub_standin import hub
from training_runs import renderings, trained

__all__ = ["hub", "renderings", "trained"]
