"""Fitting a calibration: temperature, tie bias and weights of a panel, on battles that people judged."""
