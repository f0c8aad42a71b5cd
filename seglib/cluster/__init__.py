"""Compute photos on a Ray cluster (extra `ray`): the only package that imports ray, and only where it is needed.

`engine.RayEngine` takes the place of `compute.engine.ThisMachine`. Ray's workers decode and predict, and know no store;
the process that runs `seglib run` writes all results.
"""
