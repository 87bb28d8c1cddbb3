"""What ocean_actors costs beside what users would pick instead: `python -m benchmarks`."""
