"""Decisions that can be trusted: scores, calibration, operating points, intervals, figures and the report.

Import the module you need; this package imports nothing, so that serving pays only for ``evaluation.decision``.
"""
