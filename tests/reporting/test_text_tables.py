from histogan_tf.reporting.text_tables import markdown_table, plain_table

ROWS = [("layer", "shape", "parameters"), ("g_h4", "50x50x3", "1,603"), ("±", "", "7")]


def test_plain_columns_line_up_and_lines_end_without_spaces():
    assert plain_table(ROWS, right=(2,)).splitlines() == [
        "layer  shape    parameters",
        "g_h4   50x50x3       1,603",
        "±                        7",
    ]
    assert plain_table(ROWS).splitlines()[2] == "±               7"


def test_text_that_looks_like_a_number_stays_text():
    assert plain_table([("007", "1e5"), ("1.50", "")]) == "007   1e5\n1.50"


def test_markdown_says_which_columns_are_numbers():
    assert markdown_table(ROWS, right=(2,)).splitlines() == [
        "| layer | shape   | parameters |",
        "| ----- | ------- | ---------: |",
        "| g_h4  | 50x50x3 |      1,603 |",
        "| ±     |         |          7 |",
    ]


def test_a_cell_stays_on_one_line():
    shown = markdown_table([["class", "n"], ["a\n| b", "1"]])
    assert len(shown.splitlines()) == 3 and "a\\n| b" in shown
    assert plain_table([["a\x1b[0m", "b"]]) == "a\\x1b[0m  b"
