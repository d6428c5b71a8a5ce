"""The adapter for paddle."""
