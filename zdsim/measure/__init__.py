"""What do a run's records mean? Windows, histograms and flags in; numbers with units out (numpy and scipy only)."""
