"""Measures how many planted errors in masks come first in each ranking of `seglib mistakes`, and in cleanlab's.

python benchmarks/planted_errors.py VOC [--photos 400] [--damaged 40] [--seed 0] [--model fcn_mobilenet_v2]
"""
