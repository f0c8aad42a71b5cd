"""What a file of weights holds, read from its structure alone: no torch, no tensor's values, no code of the file.

`contents` reads the file, `selection` finds a model's weights in it, `mismatch` says what else it seems to be.
"""
