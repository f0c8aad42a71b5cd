"""Cached queries behind the lists of likely mistakes in masks."""
