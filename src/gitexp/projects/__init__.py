"""Projects: folders whose entry points run by name, with typed parameters, also straight from a git address."""
