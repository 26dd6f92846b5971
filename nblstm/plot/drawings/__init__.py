"""Drawings of nets and of what flows through them, as vector graphics in one visual language."""
