"""Networks as integer files: npz, C, ONNX."""
