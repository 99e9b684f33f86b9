"""Fitting a judge of features: its recipe, the fit, names for what decides, the run from files to a folder."""
