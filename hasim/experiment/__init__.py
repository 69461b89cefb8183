"""One run: scenario in, judged result out."""
