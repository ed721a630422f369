"""Distillation in somebody else's loop, one file a library, to be copied: each needs kdkit for the loss alone."""
