"""The flags of --mode=quiz, and of the comparison of people who have taken a quiz."""

from __future__ import annotations

import dataclasses

from histogan_tf.config.flag import flag


@dataclasses.dataclass(frozen=True)
class QuizFlags:
    """The flags of the page on which people tell real patches from synthetic ones, and of its results."""

    num_questions: int = flag(
        40,
        "Number of patches that the page shows; half of them are real.",
        section="quiz",
        minimum=2,
        maximum=500,
    )
    quiz_sizes: tuple[int, ...] = flag(
        (100, 200, 300),
        "Sizes at which the page shows patches, separated by commas: the length of a patch's longer side on the "
        "screen, in CSS pixels. Each patch is shown at one of them, and the result tells the accuracy for each.",
        section="quiz",
        minimum=16,
        maximum=2000,
    )
    quiz: tuple[str, ...] | None = flag(
        None,
        "With --mode=evaluate: CSV files that readers downloaded from one page of --mode=quiz, separated by commas. "
        "Each reader is measured, and each pair of readers is compared.",
        section="quiz",
    )
