"""Many runs: sweeps, searches, evaluations, fronts, statistics."""
