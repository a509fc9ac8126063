"""Loading, patient keys, splits, decoded pixels and augmentation."""
