"""The Hub stand-in, for runs that publish."""

from __future__ import annotations

from hub_standin import hub

__all__ = ["hub"]
