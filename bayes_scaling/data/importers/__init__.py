"""Runs from where they live: exports and local files of experiment trackers, read without a server or a network."""
