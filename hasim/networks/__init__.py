"""Mask networks: what they compute, weigh and cost.

`cost` is plain arithmetic and imports no torch, so a node's program can ask it for every frame.
`sn_dnn`, `mn_dnn` and `compact_mn_dnn` hold one network each; features are (batch, channel, frame,
bin) STFT magnitudes, masks are (batch, frame, bin) in [0, 1]. `weights` reads and writes them.
"""
