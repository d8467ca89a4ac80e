"""What users ask for, checked and resolved; whatever is wrong is said before anything is launched."""
