import numpy as np
from PIL import Image

from histogan_tf.clustering import montages
from histogan_tf.clustering.scores import KSelection


def test_tiles_by_hand():
    images = np.stack([np.full((2, 3, 1), value, np.uint8) for value in (10, 20, 30)])
    sheet = montages.tile_montage(images, columns=2)
    assert sheet.shape == (6, 8, 3)
    expected = np.full((6, 8), 255)
    expected[:2, :3], expected[:2, 5:], expected[4:, :3] = 10, 20, 30
    for channel in range(3):
        np.testing.assert_array_equal(sheet[..., channel], expected)


def test_montage_shows_its_panels_side_by_side(tmp_path):
    red, blue = np.zeros((2, 5, 20, 20, 3), np.uint8)
    red[..., 0], blue[..., 2] = 255, 255
    montages.save_montage(tmp_path / "montage.png", "two colours", {"left": red, "right": blue})
    pixels = np.asarray(Image.open(tmp_path / "montage.png").convert("RGB")).astype(int)
    assert pixels.shape == (660, 1200, 3)
    is_red = (pixels == [255, 0, 0]).all(axis=2)
    is_blue = (pixels == [0, 0, 255]).all(axis=2)
    assert is_red[:, :600].sum() > 20_000 and not is_red[:, 600:].any()
    assert is_blue[:, 600:].sum() > 20_000 and not is_blue[:, :600].any()


def test_montage_is_cut_to_what_can_be_seen(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
    montages.save_montage(tmp_path / "all.png", "t", {"random": images})
    montages.save_montage(tmp_path / "some.png", "t", {"random": images[: montages.MONTAGE_IMAGES]})
    assert (tmp_path / "all.png").read_bytes() == (tmp_path / "some.png").read_bytes()


def test_k_selection_draws_scores_and_choice(tmp_path):
    selection = KSelection(np.array([1, 2, 3]), np.array([9.0, 4.0, 1.0]), np.array([np.nan, 0.5, 0.2]), 7)
    montages.save_k_selection(tmp_path / "2.png", selection, chosen=2)
    montages.save_k_selection(tmp_path / "3.png", selection, chosen=3)
    images = [np.asarray(Image.open(tmp_path / name).convert("RGB")) for name in ("2.png", "3.png")]
    assert images[0].shape == images[1].shape and images[0].shape[1] > 900
    assert (images[0] != images[1]).any()
    line = (images[0] == [0x1F, 0x77, 0xB4]).all(axis=2)
    assert line[:, :450].any() and line[:, 450:].any()
