"""The stages of looking at a picture, as ``Observation.seconds`` names them.

A stage that is not in ``seconds`` did not run: its model is off or failed.
"""

DECODE = "decode"
DETECT = "detect"
RANK = "rank"
READ = "read"
ANNOTATE = "annotate"
