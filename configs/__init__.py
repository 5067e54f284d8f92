"""Presets: flat YAML files, one per stage and size."""
