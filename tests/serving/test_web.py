"""The page in a real browser: what it shows is what Python makes of the numbers on its sliders."""

from __future__ import annotations

import base64
import functools
import http.server
import io
import json
import re
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from histogan_tf.data.pipeline import to_uint8
from histogan_tf.errors import UserError
from histogan_tf.models.inputs import named_inputs
from histogan_tf.serving import web

NPM = shutil.which("npm")
SECONDS = 60  # to wait for the page at most

needs_npm = pytest.mark.skipif(not NPM, reason="npm is not installed")


class _SilentHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments) -> None:
        pass


@pytest.fixture(scope="module")
def pages(do_export, tmp_path_factory) -> Path:
    """An --export_dir with the page of a plain and of a conditional generator."""
    pytest.importorskip("tf2onnx")
    directory = tmp_path_factory.mktemp("pages")
    for run in ("plain", "conditional"):
        do_export(run, directory, "--format=web")
    return directory


@pytest.fixture(scope="module")
def address(pages):
    handler = functools.partial(_SilentHandler, directory=str(pages))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


class Page:
    """The page of one generator in the browser."""

    def __init__(self, browser, address: str) -> None:
        self.browser = browser
        browser.get(address)
        self.wait_for("made in")

    def element(self, name: str):
        return self.browser.find_element("id", name)

    def wait_for(self, words: str) -> str:
        self.wait_until(lambda: words in self.element("status").text)
        return self.element("status").text

    def wait_until(self, is_true: Callable[[], bool]) -> None:
        from selenium.webdriver.support.ui import WebDriverWait

        message = f"the page says {self.element('status').text!r}; console: {self.browser.get_log('browser')}"
        WebDriverWait(self.browser, SECONDS, 0.05).until(lambda _: is_true(), message)

    def pixels(self) -> np.ndarray:
        """uint8 (height, width, 3)."""
        script = "return document.getElementById('image').toDataURL('image/png')"
        data = base64.b64decode(self.browser.execute_script(script).partition(",")[2])
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))

    def latent(self) -> np.ndarray:
        """float32 (1, z_dim)."""
        script = "return [...document.querySelectorAll('#sliders input')].map((slider) => Number(slider.value))"
        return np.float32(self.browser.execute_script(script))[np.newaxis]

    def change(self, action: Callable[[], None]) -> None:
        """Does something that changes the image, and waits until it has."""
        before = self.pixels()
        action()
        self.wait_until(lambda: not np.array_equal(before, self.pixels()))

    def click_right_below_the_middle(self, name: str) -> None:
        from selenium.webdriver.common.action_chains import ActionChains

        target = self.element(name)
        offset = (target.size["width"] // 8, target.size["height"] // 8)
        ActionChains(self.browser).move_to_element_with_offset(target, *offset).click().perform()

    def move_slider(self, index: int, value: float) -> None:
        script = """
            const slider = document.querySelectorAll("#sliders input")[arguments[0]];
            slider.value = arguments[1];
            slider.dispatchEvent(new Event("input"));
        """
        self.browser.execute_script(script, index, value)


def assert_is_pythons_image(page: Page, network, label: int = 0) -> None:
    inputs = named_inputs(network, page.latent(), np.int32([label]))
    expected = to_uint8(network(inputs, training=False)).numpy()[0].astype(int)
    assert np.abs(page.pixels() - expected).max() <= 2
    assert np.ptp(expected) > 100


@needs_npm
@pytest.mark.slow
def test_an_image_appears_follows_the_sliders_and_is_pythons(browser, address, networks):
    page, network = Page(browser, f"{address}/plain-web/1/"), networks["plain"].network
    assert page.pixels().shape == (16, 19, 3)
    assert_is_pythons_image(page, network)

    page.change(lambda: page.move_slider(2, -2.5))
    assert page.latent()[0, 2] == np.float32(-2.5)
    assert_is_pythons_image(page, network)

    page.change(page.element("random").click)
    assert_is_pythons_image(page, network)

    page.change(page.element("interpolate").click)
    page.change(lambda: None)
    page.element("interpolate").click()
    assert page.element("interpolate").get_attribute("aria-pressed") == "false"

    page.change(page.element("reset").click)
    page.wait_until(lambda: not page.latent().any())

    page.element("grid").click()
    page.wait_for("Choose one")
    sheet = page.pixels()
    assert sheet.shape == (4 * 16 + 3 * 2, 4 * 19 + 3 * 2, 3)
    page.click_right_below_the_middle("image")  # the third tile of the third row
    page.wait_for("made in")
    np.testing.assert_array_equal(page.pixels(), sheet[36:52, 42:61])
    assert_is_pythons_image(page, network)

    facts = page.element("facts").text
    assert "phantom" in facts
    assert "3 non-idc, 5 idc images" in facts
    assert "not a medical device" in page.element("warning").text
    assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    assert browser.get_log("browser") == []


@needs_npm
@pytest.mark.slow
def test_a_conditional_generator_has_its_labels_and_grey_images(browser, address, networks):
    page, network = Page(browser, f"{address}/conditional-web/1/"), networks["conditional"].network
    options = page.element("label").text.split("\n")
    assert [option.strip() for option in options] == ["0: non-idc", "1: idc"]
    assert_is_pythons_image(page, network, label=0)
    page.change(lambda: page.element("label").send_keys("1"))
    assert_is_pythons_image(page, network, label=1)
    assert browser.get_log("browser") == []


@needs_npm
@pytest.mark.slow
def test_the_image_can_be_downloaded(browser, address, tmp_path):
    page = Page(browser, f"{address}/plain-web/1/")
    browser.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    page.element("download").click()
    page.wait_until((tmp_path / "plain.png").exists)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "plain.png").convert("RGB")), page.pixels())


@needs_npm
@pytest.mark.slow
def test_the_folder_has_all_that_the_page_loads_and_names_no_other_host(pages):
    folder = pages / "plain-web" / "1"
    ours = [folder / name for name in ("index.html", "page.js", "latents.js", "style.css")]
    assert not [path.name for path in ours if re.search(r"https?://|//[a-z]", path.read_text())]
    description = json.loads((folder / "model.json").read_text())
    assert description["num_bytes"] == (folder / "model.onnx").stat().st_size
    assert (description["z_dim"], description["z_dist"], description["labels"]) == (5, "normal01", [])
    pinned = json.loads((Path(web.__file__).parent / "page" / "package.json").read_text())["dependencies"]
    installed = json.loads((folder / "onnxruntime-web" / "package.json").read_text())
    assert pinned == {"onnxruntime-web": installed["version"]}
    assert (folder / "MODEL_CARD.md").read_text().startswith("# plain\n")


def test_without_npm_the_remedy_is_told_and_nothing_is_left(do_export, tmp_path, monkeypatch):
    pytest.importorskip("tf2onnx")
    monkeypatch.setattr(web, "_NPM", ("npm-that-is-not-there",))
    with pytest.raises(UserError, match="needs npm, which comes with Node.js"):
        do_export("plain", tmp_path, "--format=web")
    monkeypatch.setattr(web, "_NPM", ("sh", "-c", "echo registry refused >&2; exit 1"))
    with pytest.raises(UserError, match=r"npm cannot fetch onnxruntime-web \(registry refused\)"):
        do_export("plain", tmp_path, "--format=web")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
