"""Plain scripts as the libraries' documentation would have them: what a user would run instead of this project."""
