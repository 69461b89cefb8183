"""Shelf: networks in few bits: quantisers, fake-quantised networks, searches, integers, exports.

`precision` says in how many bits and imports no torch, so a scenario can hold it. `quantisers` hold
one grid each, `network` puts them into a mask network. All of these round in floating point;
numbers lie on the grid that integers would. `integer` has the integers themselves, in numpy,
`to_integer` makes it of a network that rounds, `export` writes files for other programs.
"""
