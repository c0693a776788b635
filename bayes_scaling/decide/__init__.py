"""Decide: what to train with a budget, judged by every posterior draw."""
