"""One judge: what a panel asks of it, the forward pass and its devices, the calibration of an answer."""
