"""From answers to annotation files."""
