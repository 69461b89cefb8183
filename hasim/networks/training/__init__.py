"""How the mask networks are trained: data, dataflows with a differentiable filter, losses, loop."""
