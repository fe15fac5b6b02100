"""Where things are: git, journals, content and the index."""
