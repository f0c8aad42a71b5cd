"""Models that torch exported: files of torch.export and TorchScript."""
