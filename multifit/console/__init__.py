"""Text on the terminal: tables and words."""
