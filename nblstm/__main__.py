"""``python -m nblstm`` is the command ``nblstm``."""

from nblstm.cli import main

main()
