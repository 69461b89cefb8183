"""One run: a scenario in, a scored result out."""
