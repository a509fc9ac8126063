"""Evaluation of a checkpoint on labelled pictures: the sealed test split, the report, recalibration."""
