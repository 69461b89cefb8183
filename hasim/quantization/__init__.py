"""Shelf: networks in few bits: quantisers, fake-quantised networks, post-training, searches.

`precision` says in how many bits and imports no torch, so a scenario can hold it. `quantisers` hold
one grid each, `network` puts them into a mask network. Everything rounds in floating point; numbers
lie on the grid that integers would.
"""
