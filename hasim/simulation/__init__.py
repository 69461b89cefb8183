"""The machine in time: programs in, timeline out."""
