"""Mask networks with few bits: simulated in floating point, and in integers.

`quantisers` round to a grid, `network` puts them into a mask network (fake quantisation: floating
point numbers on an integer grid). `integer` is the network in integers, in numpy; `to_integer`
converts. `choices` and `greedy_bits` are for studies of bits. The Specs are in
`networks.precision`, which imports no torch.
"""
