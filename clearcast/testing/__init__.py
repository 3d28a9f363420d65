"""What tests of ClearCast and of its extensions share: format-true checkpoints and stand-in services."""
