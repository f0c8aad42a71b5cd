"""Queries about single images and their files."""
