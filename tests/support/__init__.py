"""What tests share: the grid of nets, peers, state machines, guard mode, programs that run in processes of their own.

A test imports from here, ``from support.cases import grid``, and never from another test. The one module that they
share and that is no helper is ``tests/naive.py``, the plain twin of the kernels.
"""
