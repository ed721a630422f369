"""What ``distill --json`` and ``export --json`` write, made up: for reports."""

import copy

SIDES = {
    "milliseconds": {"1": 0.5, "64": 8.0},
    "times_as_long": {"1": "0.50 times as long", "64": "0.25 times as long"},
}
ABOUT = {"accuracy": 0.9, "agreement": 0.95, "ece": 0.03, "count": 2, "by_class": [0.93, 0.95]}
ABOUT |= {"reliability": [[0.4, 0.5, 10], [0.95, 0.9, 90]]}
RESULT = {
    "data": "pets",
    "source": "image folder pets",
    "classes": ["cat", "dog"],
    "train_images": 200,
    "images": {"train": 200, "val": 20, "test": 50, "size": [3, 32, 32]},
    "described": ["pets: 2 classes: cat, dog", "Too few images to test: with 50 an accuracy can be off by 14 points."],
    "teacher": "runs/pets-teacher.safetensors",
    "teacher_accuracy": 0.94,
    "teacher_fingerprint": "aaaa",
    "train_fingerprint": "bbbb",
    "test_fingerprint": "cccc",
    "runs": [
        {"seed": 0, "student_alone": 0.86, "student_distilled": 0.90, "seconds_alone": 1.0, "seconds_distilled": 1.0},
        {"seed": 1, "student_alone": 0.88, "student_distilled": 0.91, "seconds_alone": 1.0, "seconds_distilled": 1.0},
    ],
    "verdict": "a gain of 3.50 points (95 % interval +0.50 to +6.50, higher in 2 of 2 seeds)",
    "broken": [],
    "limits": "Measured on the test images of this data alone.",
    "networks": {
        "teacher": {**ABOUT, "accuracy": 0.94, "agreement": 1.0, "count": 1},
        "alone": {**ABOUT, "accuracy": 0.87, "ece": 0.071, "by_class": [0.77, 0.97]},
        "distilled": {**ABOUT, "accuracy": 0.905, "by_class": [0.861, 0.949]},
    },
    "mistakes": [{"class": "cat", "answer": "dog", "alone": 4.0, "distilled": 1.5}],
    "cost": {
        "teacher": {"parameters": 500_000, "flops": 60_000_000, **SIDES},
        "student": {"parameters": 14_000, "flops": 7_000_000, **SIDES},
        "device": "cpu",
        "load": "1.9",
    },
    "diagnosis": {
        "looked_at": "200 training and 20 validation samples, at T = 4",
        "checks": {
            "class order": {
                "figure": "94.0% right, 94.0% in another order",
                "sentence": "Fine.",
                "advice": "",
                "see": "",
            },
            "agreement": {"figure": "95.0% of val", "sentence": "As the teacher.", "advice": "", "see": ""},
        },
        "unchecked": {"dropout": "no network here draws"},
        "findings": [],
    },
    "command": "python -m kdkit distill --data pets",
    "settings": {"temperature": 4.0, "soft_weight": 0.9, "hard_weight": 0.1, "lr": None, "width": 8},
    "versions": {"python": "3.11", "kdkit": "0.1.0", "torch": "2.14", "threads": 2, "machine": "Linux"},
    "seconds": 60.0,
    "peak_memory_mb": 400,
}
CARD = {
    "name": "student",
    "sha256": "dddd",
    "results": {"seed": 1, "val_accuracy": 0.95, "accuracy": 0.91, "ece": 0.03},
}
ROW = {"accuracy": 0.91, "agreement": 0.98, "largest_difference": 0.4, **SIDES}
EXPORTS = {
    "network": "student.safetensors",
    "sha256": "dddd",
    "exports": {
        "torch": {**ROW, "agreement": 1.0, "largest_difference": 0.0},
        "onnx-int8": {**ROW, "bytes": 45_127, "file": "student-int8.onnx"},
    },
    "command": "python -m kdkit export student.safetensors --to onnx-int8",
    "versions": RESULT["versions"],
}


def result(**changes):
    """A copy of what ``distill --json`` wrote, with ``changes``."""
    return copy.deepcopy(RESULT | changes)


def card(**changes):
    """The same as the card of a student that was kept."""
    return result(**CARD, **changes)


def exports(**changes):
    """A copy of what ``export --json`` wrote, with ``changes``."""
    return copy.deepcopy(EXPORTS | changes)
