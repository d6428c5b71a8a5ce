"""The adapter for tensorflow."""
