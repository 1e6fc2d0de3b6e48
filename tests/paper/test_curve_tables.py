"""The curves in words and as a table: what each interval counts, and how many draws a number rests on."""

from __future__ import annotations

from histogan_tf.paper.curve_tables import curves_text, few_patients_table


def cell(value: float, low: float | None = None, high: float | None = None) -> dict:
    return {"roc_auc": {"value": value, "low": low, "high": high}}


def point(number: int, way: str, num_draws: int, **columns: dict) -> dict:
    return {"num_patients": number, "num_images": 1600.5, "way": way, "num_draws": num_draws, **columns}


def curves(**more: str) -> dict:
    points = [
        point(50, "real", 10, metrics=cell(0.9063, 0.88, 0.93)),
        point(50, "stain", 10, metrics=cell(0.9), against_real=cell(-0.0002, -0.0013, 0.0007)),
        point(50, "tissue", 3, metrics=cell(0.9), against_real=cell(-0.010, -0.0174, 0.0029)),
        point(5, "real", 1, metrics=cell(0.8705)),
    ]
    return {"over_patients": points, "over_ratio": [], **more}


def test_a_row_for_each_number_of_patients_and_a_column_for_each_way():
    table = few_patients_table(curves(intervals_over="the draws"))
    assert table.columns == (
        [
            "training patients",
            "real images",
            "real alone",
            "with other stains",
            "with a tissue GAN of the same patients",
        ]
    )
    assert list(table.rows) == ["5", "50"]
    assert [(found.text, found.note) for found in table.rows["50"]] == [
        ("1,600", ""),
        ("0.906", "0.880 to 0.930\n10 draws"),
        ("−0.000", "−0.001 to +0.001\n10 draws"),
        ("−0.010", "−0.017 to +0.003\n3 draws"),
    ]
    assert [(found.text, found.note) for found in table.rows["5"]] == [
        ("1,600", ""),
        ("0.871", "no interval\n1 draw"),
        ("–", ""),
        ("–", ""),
    ]
    assert "intervals take into account the draws." in table.text


def test_curves_of_earlier_versions_counted_no_draws():
    assert "take into account the validation patients alone." in curves_text(curves())
    assert "take into account the draws." in curves_text(curves(intervals_over="the draws"))


def test_unknown_patients_have_no_table():
    assert few_patients_table({"over_patients": [], "over_ratio": []}) is None
