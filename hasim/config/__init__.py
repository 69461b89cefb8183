"""Scenario files, presets, caches, files: how things are kept."""
