"""What every room stands on: errors, settings, files, and the machine."""
