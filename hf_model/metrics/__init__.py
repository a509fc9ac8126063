"""Arrays in, numbers out: decisions, calibration, intervals, records.

Import the module that you need: serving imports ``decision``, ``held_out``, ``intervals`` and ``prevalence``, for which
NumPy is enough.
"""
