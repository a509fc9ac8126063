"""Both lungs outlined: the network, its training, and what follows from an outline."""
