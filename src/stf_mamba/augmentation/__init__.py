"""What training changes about a clip, and the pseudo-fakes it makes of real ones."""
