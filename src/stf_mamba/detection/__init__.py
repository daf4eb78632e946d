"""A video in, a verdict out, and the page that shows what it rests on."""
