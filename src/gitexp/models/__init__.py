"""Models: saved with what it takes to run them, loaded back, asked for predictions."""
