"""How anything is said and kept: Specs, YAML, overrides, presets, files, caches."""
