"""Estimators for scikit-learn, `LSTMClassifier` and `LSTMRegressor`; imported only by who asks for them.

They need scikit-learn, the extra `sklearn`: ``pip install "nblstm[sklearn]"``.
"""

try:
    from sklearn.utils.validation import validate_data as _new_enough  # noqa: F401
except ImportError as error:
    raise ImportError(
        f"nblstm.sklearn needs scikit-learn, 1.6 or newer, which cannot be imported ({error}): "
        'pip install "nblstm[sklearn]"'
    ) from error

from nblstm.sklearn.classifier import LSTMClassifier
from nblstm.sklearn.regressor import LSTMRegressor

__all__ = ["LSTMClassifier", "LSTMRegressor"]
