"""The Hugging Face Hub: the right to write checked first, the model card, pushing a checkpoint, deploying the Space."""
