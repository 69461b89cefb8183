"""Mask networks: what they compute, weigh and cost.

`contract` says what a network is, `registry` knows networks of one's own by name. `sn_dnn`,
`mn_dnn` and `compact_mn_dnn` hold one trained network each; `weights_file` reads and writes their
weights, `mask_estimator` runs them. `cost` counts MACs and bytes. Only the files of trained
networks import torch.
"""
