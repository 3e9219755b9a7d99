"""Layers: the boxes' functions in Keras clothes, and the localization head."""
