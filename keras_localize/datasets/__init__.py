"""Datasets: files into records, records into batches. No model code."""
