"""The benchmark suite: ``python benchmarks`` times multifit beside deepmd-kit."""
