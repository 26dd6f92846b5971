"""Weights in files of our own, and in the forms that others have: PyTorch, Keras, TensorFlow, ONNX, RTNeural, NAM."""

from nblstm.files import atomic_write, load, load_with_metadata, save, seal, unseal
from nblstm.weights.keras import from_keras, to_keras
from nblstm.weights.nam import from_nam, to_nam
from nblstm.weights.onnx import from_onnx, to_onnx
from nblstm.weights.pytorch import from_pytorch, to_pytorch
from nblstm.weights.rtneural import from_rtneural, to_rtneural
from nblstm.weights.tensorflow import from_tensorflow, to_tensorflow

__all__ = [
    "atomic_write", "from_keras", "from_nam", "from_onnx", "from_pytorch", "from_rtneural", "from_tensorflow", "load",
    "load_with_metadata", "save", "seal", "to_keras", "to_nam", "to_onnx", "to_pytorch", "to_rtneural",
    "to_tensorflow", "unseal",
]  # fmt: skip
