"""The whole answer: verdict, measures, values, bounds, where it breaks."""
