"""The course: exercises, sliders, figures, quick trainings, and stored results."""
