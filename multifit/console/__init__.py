"""Text on the terminal: tables, words and streams."""
