"""What the journeys' home is made with: its recipe, and how its clips are cut."""

RECIPE = """
name = "journey"

[encoder]
name = "vit_miniature"
trainable_blocks = 4

[temporal]
layers = 1
width = 32

[data]
frames = 8
batch_size = 3

[[phases]]
epochs = 4
warmup_epochs = 1
encoder_lr = 3e-4
head_lr = 3e-3
"""

# Short windows, so that a video of 1.6 s gives three clips and an epoch has several steps; and no workers, which would
# import everything again.
CLIP_OPTIONS = ("--frames", 8, "--window-s", 0.4, "--jobs", 1)
