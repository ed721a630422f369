"""Answers to the exercise of notebook 05."""

EXERCISES = {
    "student_in_budget": (
        [lambda: (16, 3), lambda: [8, 3]],
        {
            "24x9 takes .* more than 0.85.*one step less depth would save": lambda: (24, 9),
            "4x9 takes .* more than 0.85": lambda: (4, 9),
            "another shape that surely keeps it is .* points better": lambda: (4, 3),
            "is the `return` missing": lambda: None,
            r"a pair of whole numbers is wanted, \(width, depth\); got '16x3'": lambda: "16x3",
            r"a pair of whole numbers is wanted, \(width, depth\); got 16": lambda: 16,
            r"width comes first, then depth: did you mean \(24, 3\)": lambda: (3, 24),
            r"no students of shape 5x5 were trained: widths \[4, 8, 16, 24\], depths": lambda: (5, 5),
            "your code stopped": lambda: 1 / 0,
        },
    ),
}
