"""What TensorBoard's own reader finds in a folder of event files, as one line of JSON.

    python tests/tensorboard_reader.py RUN/tb

Ends with 77 where there is no tensorboard.
"""

import json
import sys

try:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
except ImportError:
    sys.exit(77)

reader = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0, "images": 0, "tensors": 0})
reader.Reload()
tags = reader.Tags()
print(json.dumps({
    "scalars": {tag: [[e.step, e.value] for e in reader.Scalars(tag)] for tag in tags["scalars"]},
    "images": {tag: [[e.step, e.width, e.height] for e in reader.Images(tag)] for tag in tags["images"]},
    "times": [e.wall_time for tag in tags["scalars"] for e in reader.Scalars(tag)],
}))
