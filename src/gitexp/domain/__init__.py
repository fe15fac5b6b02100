"""What things are: pure values and their text. No clock, no files, no environment."""
