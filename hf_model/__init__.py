"""Chest X-ray pneumonia classifier: training, evaluation and serving."""
