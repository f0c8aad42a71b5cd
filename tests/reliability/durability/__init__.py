"""Campaigns on what a store keeps: kills, full disks, damaged files, several writers."""
