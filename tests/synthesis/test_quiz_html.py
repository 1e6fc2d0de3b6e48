"""The page of a quiz in a real browser, from a file and without a network, and the comparison of what it wrote."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import time

import numpy as np
import pytest
from PIL import Image

from histogan_tf.metrics.estimates import proportion
from histogan_tf.metrics.reading import guessed_right, rating_auc
from histogan_tf.synthesis.quiz_html import Question, quiz_html
from histogan_tf.synthesis.quiz_readers import read_answers

NUM_QUESTIONS = 8
# Whether each patch is synthetic, then what the reader answers, by key and how sure.
TRUTH = [False, True, True, False, True, False, False, True]
KEYS = ["r5", "s4", "r2", "s1", "s5", "r3", "r1", "s2"]


@pytest.fixture(scope="module")
def questions() -> list[Question]:
    pixels = np.random.default_rng(0).integers(0, 256, (NUM_QUESTIONS, 12, 16, 3), np.uint8)
    return [
        Question(image, is_synthetic, size)
        for image, is_synthetic, size in zip(pixels, TRUTH, [100, 300] * 4, strict=True)
    ]


class QuizPage:
    """The page in the browser, opened as a file, with nothing remembered from an earlier visit."""

    def __init__(self, browser, path) -> None:
        self.browser = browser
        browser.get_log("browser")
        browser.get(path.as_uri())
        self.run("localStorage.clear()")
        browser.refresh()

    def element(self, name: str):
        return self.browser.find_element("id", name)

    def run(self, script: str, *arguments):
        return self.browser.execute_script(script, *arguments)

    def press(self, keys: str) -> None:
        self.browser.find_element("tag name", "body").send_keys(keys)

    def answer_and_reload(self, keys: str, words: str) -> None:
        """Answers a patch, and reloads the page until its first button says `words`.

        Chromium stores a page's notes a moment later, and now and then loses what a page from a file noted just before
        it was reloaded. Then the page asks for the patch again, and it is answered again.
        """
        for _ in range(5):
            self.press(keys)
            for _ in range(15):
                time.sleep(0.2)
                self.browser.refresh()
                if self.element("begin").text == words:
                    return
            self.element("begin").click()
        pytest.fail(f"the page does not say {words!r}")

    def shown(self) -> np.ndarray:
        """uint8 (height, width, 3): the patch in question."""
        data = base64.b64decode(self.run("return document.getElementById('patch').src").partition(",")[2])
        return np.asarray(Image.open(io.BytesIO(data)))


@pytest.fixture
def page(browser, questions, tmp_path):
    path = tmp_path / "quiz.html"
    path.write_text(quiz_html(questions, "patches of 16x12 pixels", "pepper"), encoding="utf-8")
    return QuizPage(browser, path)


@pytest.mark.slow
def test_a_quiz_is_answered_by_keys_and_its_file_is_what_was_answered(page, browser, questions, tmp_path):
    assert "You will see 8 patches of 16x12 pixels." in page.element("start").text
    page.element("reader").send_keys("=- Zoë =1+1")
    page.element("begin").click()
    for number, keys in enumerate(KEYS):
        assert page.element("count").text == f"Patch {number + 1} of 8"
        np.testing.assert_array_equal(page.shown(), questions[number].image)
        width = "return document.getElementById('patch').getBoundingClientRect().width"
        page.run("return document.getElementById('patch').decode()")
        assert page.run(width) == questions[number].size
        page.press(keys)
    assert page.element("verdict").text == "6 of 8 right. That is within what guessing gives."
    browser.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    page.element("download").click()
    quiz = json.loads(page.run("return document.getElementById('data').textContent"))["quiz"]
    file = tmp_path / f"quiz-{quiz}-Zoë_11.csv"
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, 20, 0.05).until(lambda _: file.exists())
    reader = read_answers(file)
    assert (reader.name, reader.quiz) == ("Zoë 11", quiz)
    assert reader.truth.tolist() == TRUTH
    assert reader.ratings.tolist() == [-5, 4, -2, 1, 5, -3, -1, 2]
    assert reader.sizes.tolist() == [100, 300] * 4

    measures = reader.measures()
    names = ("accuracy", "auc", "sensitivity", "specificity", "accuracy_100px", "accuracy_300px")
    rows = [[cell.text for cell in row.find_elements("css selector", "td")] for row in measure_rows(page)]
    for name, cells in zip(names, rows, strict=True):
        scale, unit, digits = (1, "", 2) if name == "auc" else (100, " %", 0)
        value, low, high = (f"{scale * number + 1e-9:.{digits}f}" for number in measures[name])
        assert cells == [value + unit, f"{low} to {high}{unit}", f"{scale / 2:.{digits}f}{unit}"], name
    for kind, numbers in (("real", [1, 4, 6, 7]), ("synthetic", [2, 3, 5, 8])):
        pictures = page.element(f"shown-{kind}").find_elements("tag name", "img")
        wrong = {3, 4}
        assert [picture.get_attribute("alt") for picture in pictures] == [
            f"Patch {number}, {kind}, {'wrong' if number in wrong else 'right'}" for number in numbers
        ]
    assert page.run("return performance.getEntriesByType('resource').length") == 0
    assert page.run("return document.documentElement.scrollWidth <= innerWidth")
    assert browser.get_log("browser") == []


def measure_rows(page: QuizPage) -> list:
    return page.element("measures").find_elements("tag name", "tr")


@pytest.mark.slow
def test_fingers_can_answer_go_back_and_go_on_another_time(page, browser):
    page.element("begin").click()
    steps = page.element("steps").find_elements("tag name", "button")
    assert not any(step.is_enabled() for step in steps)  # first the kind, then how sure
    page.press("3")
    assert page.element("count").text == "Patch 1 of 8"
    page.element("synthetic").click()
    steps[2].click()
    assert page.element("count").text == "Patch 2 of 8"
    page.element("back").click()
    assert page.element("count").text == "Patch 1 of 8"
    assert page.element("synthetic").get_attribute("aria-pressed") == "true"
    assert [step.get_attribute("aria-pressed") for step in steps] == ["false", "false", "true", "false", "false"]
    assert not page.element("back").is_enabled()
    page.answer_and_reload("r1", "Go on with patch 2 of 8")
    page.element("begin").click()
    page.answer_and_reload("s5", "Go on with patch 3 of 8")
    page.element("discard").click()
    assert page.element("begin").text == "Start"


@pytest.mark.slow
def test_the_largest_patch_fits_the_smallest_phone_without_scrolling(page, browser):
    screen = {"width": 320, "height": 640, "deviceScaleFactor": 2, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    try:
        page.element("begin").click()
        page.press("r1")
        assert page.run("return document.documentElement.scrollWidth <= innerWidth")
        assert page.run("return document.getElementById('question').getBoundingClientRect().bottom <= innerHeight")
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.slow
def test_the_browsers_digests_and_measures_are_pythons(page):
    for text in ("", "abc", "pepper:499:synthetic", "x" * 55, "x" * 56, "x" * 64, "x" * 200):
        assert page.run("return sha256(arguments[0])", text) == hashlib.sha256(text.encode()).hexdigest()
    for number in (2, 7, 40, 500):
        assert tuple(page.run("return guessedRight(arguments[0])", number)) == guessed_right(number)
    rng = np.random.default_rng(0)
    for number in (4, 30, 200):
        truth, ratings = np.arange(number) % 2 == 0, rng.integers(-5, 6, number)
        found = page.run("return ratingAuc(...arguments)", truth.tolist(), ratings.tolist())
        assert found == pytest.approx(rating_auc(truth, ratings)._asdict(), abs=1e-12)
        found = page.run("return proportion(...arguments)", number // 3, number)
        assert found == pytest.approx(proportion(number // 3, number)._asdict(), abs=1e-12)


def test_another_salt_hides_the_same_answers_behind_other_digests(questions):
    def answers(salt: str) -> list[str]:
        page = quiz_html(questions, "patches", salt)
        text = page.partition('id="data">')[2].partition("</script>")[0]
        return [question["answer"] for question in json.loads(text)["questions"]]

    first, other = answers("pepper"), answers("mustard")
    assert not {*first} & {*other}
    assert first[1] == hashlib.sha256(b"pepper:1:synthetic").hexdigest()


def test_a_grey_patch_is_a_grey_png():
    image = np.arange(48, dtype=np.uint8).reshape(6, 8, 1)
    page = quiz_html([Question(image, True, 50)], "patches", "salt")
    data = json.loads(page.partition('id="data">')[2].partition("</script>")[0])
    png = Image.open(io.BytesIO(base64.b64decode(data["questions"][0]["image"])))
    assert png.mode == "L"
    np.testing.assert_array_equal(np.asarray(png), image[..., 0])
