from brainfm.report_page import Page, html_table


def test_numbers_stand_right_and_sentences_that_begin_with_one_may_break():
    device = "31-electrode cap, 31 EEG; Neuromag VectorView, 60 EEG"
    cells = html_table(("n", "devices"), [("3 (1.9 min)", device)]).split("<td")
    assert "text-align:right" in cells[1]
    assert "text-align" not in cells[2]
    assert "nowrap" not in cells[2]


def test_a_page_takes_another_under_its_name():
    page, other = Page(), Page()
    page.add("Summary", "a", "<p>first</p>")
    other.add("Scores", "b", "<p>second</p>")
    other.leave_out("maps", "switched off")
    page.take(other, "runs/mine")
    assert [(e.section, e.title) for e in page.entries] == [
        ("Summary", "a"),
        ("runs/mine: Scores", "b"),
    ]
    assert page.left_out == {"runs/mine: maps": "switched off"}
    page.take(other)
    assert page.entries[-1].section == "Scores"
