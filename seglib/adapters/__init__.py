"""Models that are not built in: found by what a person names them by, and loaded behind one interface.

`lookup` finds a model; each other module handles one kind and implements `seglib.models.adapter.Adapter`. To add a
kind, write such a module and name it in `lookup`.
"""
