"""The colours of all pictures, from Okabe and Ito's palette: distinct to colour-blind eyes."""

BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9"
GREY, INK = "#666666", "#222222"

#: One colour for one thing, in every picture: gates i, f, g, o; states c and h; input x; output y. A GRU's gates have
#: those of their kin: z that of f, which keeps too, n that of g, the other candidate, r that of o, which hides too.
COLOURS = {
    "i": GREEN, "f": VERMILION, "g": ORANGE, "o": BLUE, "c": PURPLE, "h": SKY, "x": GREY, "y": INK,
    "r": BLUE, "z": VERMILION, "n": ORANGE,
}  # fmt: skip
