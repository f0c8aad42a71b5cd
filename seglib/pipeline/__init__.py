"""Run models over folders of images and keep the results in a store."""
