"""The benchmarks: nblstm beside PyTorch, ONNX Runtime and JAX, and against what the machine can do."""
