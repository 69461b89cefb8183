"""Many runs: sweeps, evaluations, fronts, statistics."""
