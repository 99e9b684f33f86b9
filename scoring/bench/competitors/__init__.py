"""Sides of `bench panel` that other programs run, each where its package is installed."""
