"""The experiments, one file a topic. A file in this folder is found by itself: adding a claim is adding a function."""
