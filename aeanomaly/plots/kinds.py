"""How normal and anomalous images are told apart in every picture."""

from __future__ import annotations

# Blue and vermilion of Okabe and Ito's palette, which colour-blind readers can tell apart. In grey they are much alike,
# so a picture must not rest on them: hatches, line styles or words go with them.
NORMAL_COLOUR, ANOMALY_COLOUR = "#0072B2", "#D55E00"
