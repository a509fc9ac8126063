"""From a file to a :class:`~hf_model.inference.prediction.Prediction`: checkpoints, engines, batches, heat maps."""
