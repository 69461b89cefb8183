"""Training of the mask networks: data, dataflows with a differentiable filter, losses, loop."""
