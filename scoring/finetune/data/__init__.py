"""What a run reads: labelled rows, dealt into what is learnt from and measured on, as pairs; what a teacher said."""
