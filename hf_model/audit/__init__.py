"""What is wrong, doubled, leaked, guessable or shifted in a data set, before anything is trained on it."""
