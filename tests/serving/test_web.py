"""The page in a real browser, from a file and without a network: what it shows is what Python makes."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from histogan_tf.cli import command_line, commands
from histogan_tf.data.decoding import center_crop, resize
from histogan_tf.data.pipeline import to_uint8
from histogan_tf.data.sources.idc import pad_to_patch
from histogan_tf.machine.randomness import Purpose
from histogan_tf.models.inputs import named_inputs
from histogan_tf.serving import web
from histogan_tf.trained import directions
from histogan_tf.trained.directions import find_directions
from histogan_tf.trained.generate import sampler_of
from histogan_tf.training.cyclegan_step import Translator

NPM = shutil.which("npm")
SECONDS = 20  # to wait for the page at most
LEVELS = 2  # by which half precision and the browser's arithmetic may change a pixel

needs_npm = pytest.mark.skipif(not NPM, reason="npm is not installed")


@pytest.fixture(scope="module")
def pages(do_export, made_once, tmp_path_factory) -> Path:
    """An --export_dir with the pages of two generators, a CycleGAN and a classifier."""
    pytest.importorskip("tf2onnx")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(directions, "_NUM_PAIRS", 500)
        patch.setattr(web, "_COMPRESSION", 1)
        # In single precision, the probabilities of the page are those of the run to the fourth place.
        patch.setattr(web, "_HALF_PROBABILITY", 0.0)
        directory = tmp_path_factory.mktemp("pages")
        for run in ("plain", "conditional", "translator", "classifier"):
            do_export(run, directory, "--format=web")
    return directory


@pytest.fixture(scope="module")
def offline(browser, tmp_path_factory):
    """The browser without a network; `offline.downloads` is the folder of its downloads."""
    browser.execute_cdp_cmd("Network.enable", {})
    conditions = {"offline": True, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    browser.execute_cdp_cmd("Network.emulateNetworkConditions", conditions)
    browser.downloads = tmp_path_factory.mktemp("downloads")
    settings = {"behavior": "allow", "downloadPath": str(browser.downloads)}
    browser.execute_cdp_cmd("Browser.setDownloadBehavior", settings)
    return browser


class Page:
    """The page of one run in the browser."""

    def __init__(self, browser, pages: Path, name: str, ready: str = "made in") -> None:
        self.browser = browser
        browser.get_log("browser")
        browser.get((pages / f"{name}-web" / "1" / "index.html").as_uri())
        self.wait_for(ready)

    def element(self, name: str):
        return self.browser.find_element("id", name)

    def run(self, script: str, *arguments):
        return self.browser.execute_script(script, *arguments)

    def wait_for(self, words: str) -> str:
        self.wait_until(lambda: words in self.element("status").text)
        return self.element("status").text

    def wait_until(self, is_true: Callable[[], bool]) -> None:
        from selenium.webdriver.support.ui import WebDriverWait

        message = f"the page says {self.element('status').text!r}; console: {self.browser.get_log('browser')}"
        WebDriverWait(self.browser, SECONDS, 0.05).until(lambda _: is_true(), message)

    def set(self, name: str, value: int) -> None:
        """Writes a number into a field."""
        script = "const field = document.getElementById(arguments[0]); field.value = arguments[1];"
        self.run(script + "field.dispatchEvent(new Event('change'))", name, value)

    def show_seed(self, seed: int) -> None:
        self.set("seed", seed)
        self.wait_for(f"seed {seed}, made in")

    def pixels(self, selector: str) -> np.ndarray:
        """What canvases show, uint8 (number, height, width, 3)."""
        script = "return [...document.querySelectorAll(arguments[0])].map((one) => one.toDataURL('image/png'))"
        addresses = self.run(script, selector)
        files = [io.BytesIO(base64.b64decode(address.partition(",")[2])) for address in addresses]
        return np.stack([np.asarray(Image.open(file).convert("RGB")) for file in files])

    def press(self, keys: str) -> None:
        self.browser.switch_to.active_element.send_keys(keys)

    def open_patch(self, number: int) -> None:
        self.run("document.querySelectorAll('#tiles button')[arguments[0]].click()", number)
        assert self.element("one").is_displayed()

    def move_slider(self, selector: str, value: float) -> None:
        """Moves a slider, and waits until the large patch has changed."""
        before = self.pixels("#image")
        script = """
            const slider = document.querySelector(arguments[0]);
            slider.value = arguments[1];
            slider.dispatchEvent(new Event("input"));
        """
        self.run(script, selector, value)
        self.wait_until(lambda: not np.array_equal(before, self.pixels("#image")))

    def downloaded(self, name: str) -> Path:
        """Waits for a download, and returns its path."""
        path = self.browser.downloads / name
        self.wait_until(path.exists)
        return path

    def give(self, *paths: Path) -> str:
        """Chooses files, and returns what the page says when it is done with them."""
        self.element("files").send_keys("\n".join(map(str, paths)))
        return self.wait_for(" used")


def generated(trained, num_images: int, seed: int, label: int | None = None) -> np.ndarray:
    """What --mode=generate makes, as RGB."""
    images = sampler_of(trained).numbered(0, num_images, seed, Purpose.GENERATED_LATENTS, label)
    return np.broadcast_to(images, (*images.shape[:3], 3))


def assert_alike(ours: np.ndarray, theirs: np.ndarray) -> None:
    assert ours.shape == theirs.shape
    assert np.abs(ours.astype(int) - theirs).max() <= LEVELS
    assert np.ptp(theirs) > 100


def made_of(trained, latents: np.ndarray, label: int = 0) -> np.ndarray:
    inputs = named_inputs(trained.network, np.float32(latents), np.full(len(latents), label, np.int32))
    return to_uint8(trained.network(inputs, training=False)).numpy()


@needs_npm
@pytest.mark.slow
def test_the_sheet_holds_the_patches_that_python_generates_for_its_seed(offline, pages, networks):
    page = Page(offline, pages, "plain")
    page.show_seed(7)
    assert_alike(page.pixels("#tiles canvas"), generated(networks["plain"], 64, 7))
    assert "--seed=7 --num_images=64" in page.element("command").text

    page.element("sheet-title").click()
    page.run("document.getElementById('sheet-title').focus()")
    page.press("n")
    page.wait_until(lambda: page.element("seed").get_attribute("value") != "7")
    page.wait_for("made in")

    width = page.run("return document.querySelector('#tiles canvas').getBoundingClientRect().width")
    assert width == 19  # a phone begins at 1x
    page.run("document.querySelector('input[name=size][value=\"4\"]').click()")
    assert page.run("return document.querySelector('#tiles canvas').getBoundingClientRect().width") == 76
    rendering = "return getComputedStyle(document.querySelector('#tiles canvas')).imageRendering"
    assert page.run(rendering) == "auto"
    page.element("smooth").click()
    assert page.run(rendering) == "pixelated"
    assert offline.get_log("browser") == []


@needs_npm
@pytest.mark.slow
def test_a_conditional_generator_shows_its_classes_in_turn_or_one_by_name(offline, pages, networks):
    page = Page(offline, pages, "conditional")
    page.show_seed(3)
    assert_alike(page.pixels("#tiles canvas"), generated(networks["conditional"], 64, 3))
    options = [option.strip() for option in page.element("label").text.strip().split("\n")]
    assert options == ["all in turn", "non-idc", "idc"]
    page.element("label").send_keys("idc")
    page.wait_for("64 patches of idc, seed 3, made in")
    assert_alike(page.pixels("#tiles canvas"), generated(networks["conditional"], 64, 3, label=1))
    page.open_patch(5)
    assert page.element("one-title").text == "Patch 5, idc"
    assert page.element("image").accessible_name == "Patch 5, idc"
    assert offline.get_log("browser") == []


@needs_npm
@pytest.mark.slow
def test_a_patch_changes_along_directions_as_in_python(offline, pages, networks):
    page, trained = Page(offline, pages, "plain"), networks["plain"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(directions, "_NUM_PAIRS", 500)
        found = find_directions(trained)
    page.show_seed(7)
    page.open_patch(9)
    np.testing.assert_array_equal(page.pixels("#image"), page.pixels("#tiles canvas")[9:10])
    labels = [label.get_attribute("textContent") for label in offline.find_elements("css selector", ".direction label")]
    assert labels == [direction.name for direction in found]

    from histogan_tf.models.latents import latent_chunk

    latent = latent_chunk(0, 5, "normal01", 7, Purpose.GENERATED_LATENTS).numpy()[9:10]
    page.move_slider("#direction-1", 2.0)
    moved = found[1].moved(latent, 2.0)
    assert_alike(page.pixels("#image"), made_of(trained, moved))
    for number, direction in enumerate(found):
        place = float(page.element(f"direction-{number}").get_attribute("value"))
        assert place == pytest.approx((moved @ direction.vector).item(), abs=1e-3)

    strip = made_of(trained, found[0].moved(np.repeat(moved, 5, axis=0), np.linspace(found[0].low, found[0].high, 5)))
    page.wait_until(lambda: np.abs(page.pixels(".strip:first-of-type canvas")[:5].astype(int) - strip).max() <= LEVELS)
    page.run("document.querySelectorAll('.strip button')[4].click()")
    page.wait_until(lambda: np.abs(page.pixels("#image")[0].astype(int) - strip[4]).max() <= LEVELS)
    assert float(page.element("direction-0").get_attribute("value")) == pytest.approx(found[0].high, abs=1e-3)

    page.element("undo").click()
    np.testing.assert_array_equal(page.pixels("#image"), page.pixels("#tiles canvas")[9:10])
    page.run("document.querySelector('#all summary').click()")
    page.wait_until(lambda: len(offline.find_elements("css selector", "#numbers input")) == 5)
    page.move_slider("#numbers label:nth-child(3) input", -2.5)
    latent[0, 2] = -2.5
    assert_alike(page.pixels("#image"), made_of(trained, latent))
    assert offline.get_log("browser") == []


@needs_npm
@pytest.mark.slow
def test_the_keyboard_alone_is_enough(offline, pages):
    from selenium.webdriver.common.keys import Keys

    page = Page(offline, pages, "plain")
    page.run("document.querySelector('#tiles button').focus()")
    page.press(Keys.ARROW_RIGHT)
    page.press(Keys.ARROW_DOWN)
    columns = page.run("return getComputedStyle(document.getElementById('tiles')).gridTemplateColumns").count("px")
    assert offline.switch_to.active_element.accessible_name == f"Patch {1 + columns}"
    page.press(Keys.ENTER)
    assert page.element("one-title").text == f"Patch {1 + columns}"
    assert offline.switch_to.active_element == page.element("one-title")
    page.press(Keys.PAGE_DOWN)
    assert page.element("one-title").text == f"Patch {2 + columns}"
    page.press(Keys.ESCAPE)
    assert page.element("sheet").is_displayed()
    assert offline.switch_to.active_element.accessible_name == f"Patch {2 + columns}"


@needs_npm
@pytest.mark.slow
def test_a_sheet_a_patch_and_a_zip_can_be_taken_along(offline, pages, networks):
    page = Page(offline, pages, "conditional")
    page.show_seed(11)
    expected = generated(networks["conditional"], 70, 11)
    page.element("save-sheet").click()
    sheet = np.asarray(Image.open(page.downloaded("conditional-seed-11.png")).convert("RGB"))
    assert sheet.shape == (8 * 19 - 2, 8 * 18 - 2, 3)
    assert_alike(sheet[19:36, 18:34], expected[9])
    assert (sheet[17:19] == 255).all()

    page.set("count", 70)
    page.element("save-zip").click()
    with zipfile.ZipFile(page.downloaded("conditional-seed-11.zip")) as archive:
        assert archive.testzip() is None
        lines = archive.read("patches.csv").decode().splitlines()
        assert json.loads(archive.read("classes.json")) == {"class_names": ["non-idc", "idc"]}
        assert lines[:3] == ["file,seed,number,label", "0/00000.png,11,0,0", "1/00001.png,11,1,1"]
        names = [line.partition(",")[0] for line in lines[1:]]
        assert sorted(archive.namelist()) == sorted([*names, "patches.csv", "classes.json"])
        images = np.stack([np.asarray(Image.open(archive.open(name)).convert("RGB")) for name in names])
    assert_alike(images, expected)

    page.open_patch(6)
    page.element("save-image").click()
    image = np.asarray(Image.open(page.downloaded("conditional-seed-11-patch-6.png")).convert("RGB"))
    assert_alike(image, expected[6])


@needs_npm
@pytest.mark.slow
def test_the_page_fits_a_narrow_screen_a_dark_one_and_paper(offline, pages):
    page = Page(offline, pages, "plain")
    metrics = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    offline.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    fits = "return document.documentElement.scrollWidth <= innerWidth"
    try:
        assert page.run(fits)
        words = page.run("return [...document.querySelectorAll('#command .word')].map((word) => word.textContent)")
        assert words[:3] == ["python", "main.py", "--mode=generate"] and all("--" in word for word in words[3:])
        page.open_patch(0)
        assert page.run("return innerWidth") == 360
        assert page.run(fits)
        page.element("back").click()
    finally:
        offline.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    background = "return getComputedStyle(document.body).backgroundColor"
    shades = {}
    for scheme in ("light", "dark"):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        offline.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        shades[scheme] = sum(map(int, re.findall(r"\d+", page.run(background))[:3]))
    assert shades["dark"] < 100 < 600 < shades["light"]
    offline.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": []})
    try:
        assert page.element("tiles").is_displayed()
        assert not page.element("new").is_displayed()
        assert page.element("facts").is_displayed()
    finally:
        offline.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


@needs_npm
@pytest.mark.slow
@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ("delete globalThis.WebAssembly", "WebAssembly, which the network needs, is missing or switched off"),
        ("delete globalThis.DecompressionStream", "it is too old"),
        (
            "globalThis.Worker = class { constructor() { throw new RangeError('out of memory') } }",
            "too little free memory",
        ),
    ],
)
def test_one_sentence_says_why_the_page_cannot_start(offline, pages, broken, words):
    script = offline.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": broken})
    try:
        offline.get((pages / "plain-web" / "1" / "index.html").as_uri())
        page = Page.__new__(Page)
        page.browser = offline
        assert page.wait_for(words).endswith(".")
        assert "error" in page.element("status").get_attribute("class")
    finally:
        offline.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)


@needs_npm
@pytest.mark.slow
def test_the_folder_is_one_file_and_a_card_and_the_file_names_no_other_host(offline, pages):
    folder = pages / "plain-web" / "1"
    assert sorted(path.name for path in folder.iterdir()) == ["MODEL_CARD.md", "index.html"]
    text = re.sub(r'<script type="text/plain".*?</script>', "", (folder / "index.html").read_text(), flags=re.DOTALL)
    assert not re.findall(r"(?:src|href)=(?!\"data:,\")\S+", text.partition("<style>")[0])
    assert not re.findall(r"https?://|fetch\(|XMLHttpRequest", text)
    assert "default-src 'none'" in text
    assert "connect-src" not in text

    page = Page(offline, pages, "plain")
    facts = page.element("facts").text
    assert "phantom" in facts
    assert "3 non-idc, 5 idc images" in facts
    assert "not a medical device" in page.element("about").text
    card = (folder / "MODEL_CARD.md").read_text()
    assert page.run("return document.querySelector('#about pre').textContent") == card.rstrip("\n") + "\n"
    loaded = page.run("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert [name for name in loaded if not name.startswith(("blob:", "data:"))] == []


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """A folder with images of 40x36 pixels in several formats, and files that cannot be used."""
    folder = tmp_path_factory.mktemp("files")
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 256, (6, 10, 9, 3), np.uint8).repeat(4, axis=1).repeat(4, axis=2)
    pictures = [Image.fromarray(block) for block in blocks]
    pictures[0].save(folder / "=plain.png")
    pictures[1].save(folder / "photo.jpg", quality=95)
    pictures[2].convert("L").save(folder / "grey, old.png")
    pictures[3].save(folder / "lossless.webp", lossless=True)
    pictures[4].save(folder / "bitmap.bmp")
    opacity = Image.fromarray(rng.integers(0, 256, (40, 36), np.uint8))
    pictures[5].putalpha(opacity)
    pictures[5].save(folder / "transparent.png")
    turned = pictures[0].transpose(Image.Transpose.ROTATE_90)
    turned.save(folder / "turned.png", exif=_turned_by_a_quarter())

    (folder / "text.png").write_text("no image")
    (folder / "short.png").write_bytes((folder / "=plain.png").read_bytes()[:-20])
    damaged = bytearray((folder / "=plain.png").read_bytes())
    damaged[60] ^= 1
    (folder / "damaged.png").write_bytes(damaged)
    pictures[0].save(folder / "moving.png", save_all=True, append_images=[pictures[1]])
    pictures[0].save(folder / "scan.tif")
    pictures[0].crop((0, 0, 20, 20)).save(folder / "small.png")
    return folder


def _turned_by_a_quarter() -> Image.Exif:
    """EXIF data that say: turn me by a quarter to the right to show me upright."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


GOOD = ("=plain.png", "bitmap.bmp", "grey, old.png", "lossless.webp", "photo.jpg", "transparent.png", "turned.png")
REFUSED = {
    "text.png": "it is not a PNG, JPEG, WebP or BMP image",
    "short.png": "it is truncated: its end is missing",
    "damaged.png": "it is damaged: its chunk",
    "moving.png": "it is animated",
    "scan.tif": "browsers cannot read TIFF: save it as PNG",
    "small.png": "it has 20 × 20 pixels, and the network takes 36 × 40",
}


@needs_npm
@pytest.mark.slow
def test_a_classifier_tells_the_readers_images_apart_as_classify_does(offline, pages, files, runs, tmp_path):
    for name in GOOD:
        shutil.copy(files / name, tmp_path)
    flags = [f"--checkpoint_dir={runs}", "--run=classifier", f"--data_path={tmp_path}", f"--output_dir={tmp_path}/out"]
    commands.run_command(command_line.parse(["main.py", "--mode=classify", *flags]))
    with (tmp_path / "out" / "predictions.csv").open(newline="", encoding="utf-8") as file:
        expected = list(csv.reader(file))

    page = Page(offline, pages, "classifier", "Ready")
    assert page.give(*(files / name for name in (*REFUSED, *GOOD))) == "7 images used, 6 not used."
    refused = [item.text for item in offline.find_elements("css selector", "#refused li")]
    assert len(refused) == len(REFUSED)
    for text, (name, reason) in zip(refused, REFUSED.items(), strict=True):
        assert text.startswith(f"{name}: {reason}")
    page.element("save").click()
    content = page.downloaded("predictions.csv").read_bytes()
    found = list(csv.reader(io.StringIO(content.decode(), newline="")))
    assert content.count(b"\r\n") == len(found) == 8
    assert [[row[0], *row[2:]] for row in found] == [[row[0], *row[2:]] for row in expected]
    assert found[1][0] == "'=plain.png"
    ours, theirs = (np.array([float(row[1]) for row in rows[1:]]) for rows in (found, expected))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)
    assert np.ptp(theirs) > 0.01
    assert ours[0] == pytest.approx(ours[6], abs=1e-4)  # the turned image is shown upright

    page.element("order").send_keys("most")
    names = [name.text.splitlines()[-1] for name in offline.find_elements("css selector", "figcaption")]
    assert names == [GOOD[index] for index in np.argsort(-ours, kind="stable")]
    first = offline.find_element("css selector", "figcaption b").text
    assert first.endswith(f"(idc: {100 * ours.max():.1f} %)")
    assert "nothing is uploaded" in page.element("own").text
    page.element("clear").click()
    assert not offline.find_elements("css selector", "figure")
    assert not page.element("refused").is_displayed()


@needs_npm
@pytest.mark.slow
def test_a_cyclegan_translates_the_readers_images_there_and_back(offline, pages, networks, tmp_path):
    blocks = np.random.default_rng(3).integers(0, 256, (2, 17, 41, 3), np.uint8).repeat(2, axis=1)
    for number, block in enumerate(blocks):
        Image.fromarray(block).save(tmp_path / f"tissue{number}.png")
    page = Page(offline, pages, "translator", "Ready")
    assert page.give(tmp_path / "tissue0.png") == "1 image used."
    page.run("document.getElementById('network').value = '1'")
    page.give(tmp_path / "tissue1.png")
    page.wait_for("2 images")
    there, back = (Translator(networks[f"translator-{direction}"].network).images for direction in ("A2B", "B2A"))
    shown = [shown_images(figure) for figure in offline.find_elements("css selector", "figure")]
    for (source, translation, cycle), block, first, second in zip(
        shown, blocks, (there, back), (back, there), strict=True
    ):
        np.testing.assert_array_equal(source, block)
        assert_alike(translation, first(block[np.newaxis])[0])
        assert_alike(cycle, second(translation[np.newaxis])[0])
    meanings = [span.text for span in offline.find_elements("css selector", "figure:first-child span")]
    assert meanings == ["non-idc", "idc", "back to non-idc"]

    page.element("save").click()
    with zipfile.ZipFile(page.downloaded("translator-translations.zip")) as archive:
        assert archive.namelist() == ["tissue0.png", "tissue1.png"]
        np.testing.assert_array_equal(np.asarray(Image.open(archive.open("tissue1.png")).convert("RGB")), shown[1][1])
    assert offline.get_log("browser") == []


def test_the_page_of_one_direction_has_one_network(networks):
    there, back = networks["translator-A2B"], networks["translator-B2A"]
    assert web.whole_run([back]).name == "translator"
    for given, ends in [([back], [("idc", "non-idc")]), ([there, back], [("non-idc", "idc"), ("idc", "non-idc")])]:
        described = web._description(web.whole_run(given), given)["networks"]
        assert [(network["source"], network["target"]) for network in described] == ends


def shown_images(figure) -> list[np.ndarray]:
    """The pixels of a figure's images, as Python sees them on the page."""
    script = """
        return arguments[0].querySelectorAll("img").length && Promise.all(
            [...arguments[0].querySelectorAll("img")].map(async (picture) => {
                picture.loading = "eager";
                await picture.decode();
                const canvas = document.createElement("canvas");
                [canvas.width, canvas.height] = [picture.naturalWidth, picture.naturalHeight];
                canvas.getContext("2d").drawImage(picture, 0, 0);
                return canvas.toDataURL("image/png");
            }));
    """
    addresses = figure.parent.execute_script(script, figure)
    files = [io.BytesIO(base64.b64decode(address.partition(",")[2])) for address in addresses]
    return [np.asarray(Image.open(file).convert("RGB")) for file in files]


@needs_npm
@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "call", "expected"),
    [
        ((50, 70), "resized(image, 24, 31)", lambda image: resize(image, 24, 31)),
        ((20, 30), "resized(image, 64, 30)", lambda image: resize(image, 64, 30)),
        ((19, 33), "resized(image, 40, 17)", lambda image: resize(image, 40, 17)),
        ((33, 40), "cropped(image, 20, 31)", lambda image: center_crop(image, 20, 31)),
        ((7, 50), "paddedTo(image, 50)", pad_to_patch),
    ],
)
def test_images_are_prepared_as_in_python(offline, pages, shape, call, expected):
    if "classifier-web" not in offline.current_url:
        Page(offline, pages, "classifier", "Ready")
    image = np.random.default_rng(1).integers(0, 256, (*shape, 3), np.uint8)
    opaque = np.concatenate([image, np.full((*shape, 1), 255, np.uint8)], axis=-1)
    script = """
        const image = new ImageData(Uint8ClampedArray.from(arguments[0]), arguments[1]);
        const result = CALL;
        return { data: [...result.data], shape: [result.height, result.width, 4] };
    """
    result = offline.execute_script(script.replace("CALL", call), opaque.ravel().tolist(), shape[1])
    np.testing.assert_array_equal(np.reshape(result["data"], result["shape"])[..., :3], expected(image))
