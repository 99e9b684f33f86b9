"""Fine-tuning: pairs that people judged in, a judge's LoRA adapter out."""
