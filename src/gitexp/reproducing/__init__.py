"""A run done again from its record, and judged."""
