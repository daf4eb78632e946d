"""Frame encoders: pictures in, one embedding a frame out."""
