"""Does another head, depth, loss, augmentation or size do better? A resumable study on development patients."""
