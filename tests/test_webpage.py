"""The page, from end to end in a headless browser."""

import shutil
from pathlib import Path

import pytest
from PIL import Image

from safe_mm import Predictor
from safe_mm.errors import InputError
from safe_mm.webpage import adapt as adapting
from safe_mm.webpage.adapt import CREATURES, Adaptation, check_classes, decode, draw_example

gradio = pytest.importorskip('gradio')
pytest.importorskip('torch', '2.6')  # to export
CHROMIUM = shutil.which('chromium') or shutil.which('chromium-browser')
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason='needs chromium')
SAVED = ('SAFE', 'linear probe')  # test_deploy.py has the others
pytestmark = pytest.mark.filterwarnings('ignore')


@pytest.fixture(scope='module')
def example(tmp_path_factory):
    """Class -> pictures of drawn creatures."""
    return draw_example(tmp_path_factory.mktemp('example'))


@pytest.mark.parametrize('method', list(adapting.METHODS))
def test_methods_adapt_and_are_saved(method, example):
    """The saved file has the model's answers; a user's folder goes with the model."""
    told = []
    own = {name: photos[:4] for name, photos in example.items()}
    found = Adaptation(own, method, CREATURES, told.append)
    others = [photos[5] for photos in example.values()]
    verdicts = found.classify(others)
    if method in SAVED:
        answers = Predictor.from_checkpoint(found.save())(others)
        assert [v.adapted for v in verdicts] == [f'{p.name} {100 * p.score:.0f} %' for p in answers]
    assert all(v.picture.shape == (160, 160, 3) for v in verdicts)
    if method == 'SAFE':
        assert told[-1] == 1 and found.beta == 0.5
    folder = found.folder
    found.close()
    assert not folder.exists()


def test_beta_changes_the_blend(example):
    found = Adaptation({k: v[:4] for k, v in example.items()}, 'SAFE', CREATURES)
    others = [photos[5] for photos in example.values()]
    tuned, mostly_clip = (found.classify(others, beta) for beta in (0, 1000))
    assert [v.adapted for v in mostly_clip] == [v.zero_shot for v in mostly_clip]
    assert [v.adapted for v in tuned] != [v.adapted for v in mostly_clip]
    found.close()


def test_what_cannot_be_learned(example, tmp_path):
    photos = next(iter(example.values()))
    for classes, message in (
        ({'a': photos}, 'at least two classes'),
        ({'a': photos, '../b': photos}, 'cannot be the name'),
        ({'a': photos, 'b': photos[:1]}, "'b' has 1 photo; it should have 2"),
        ({'a': photos, 'b': photos * 9}, "'b' has 54 photos"),
    ):
        with pytest.raises(InputError, match=message):
            check_classes(classes)
    broken = tmp_path / 'broken.png'
    broken.write_bytes(Path(photos[0]).read_bytes()[:200])
    before = set(Path(adapting.tempfile.gettempdir()).glob('safe_mm-*'))
    with pytest.raises(InputError, match='broken.png cannot be read as an image'):
        Adaptation({'a': photos, 'b': [photos[0], str(broken)]}, 'SAFE', CREATURES)
    assert set(Path(adapting.tempfile.gettempdir()).glob('safe_mm-*')) == before
    large = tmp_path / 'large.png'
    Image.new('1', (9000, 9000)).save(large)
    with pytest.raises(InputError, match='9000 x 9000 pixels. Make it smaller'):
        decode(str(large))


@pytest.fixture(scope='module')
def page():
    """The address of a running page."""
    from safe_mm.webpage.app import MAX_FILE, build_page

    blocks = build_page()
    _, address, _ = blocks.launch(
        server_name='127.0.0.1', prevent_thread_lock=True, quiet=True, max_file_size=MAX_FILE
    )
    yield address
    blocks.close()


@pytest.fixture(scope='module')
def browser():
    playwright = pytest.importorskip('playwright.sync_api')
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=['--no-sandbox'])
        yield opened
        opened.close()


def use_example(browser, page):
    tab = browser.new_context(accept_downloads=True).new_page()
    tab.goto(page)
    tab.click('#example')
    tab.wait_for_function("document.querySelector('#name-4 textarea, #name-4 input')?.value")
    return tab


def press_adapt(tab):
    tab.click('#adapt')
    tab.wait_for_selector('#status:has-text("has learned")', timeout=120_000)
    tab.wait_for_selector('#gallery img', timeout=60_000)


@needs_browser
def test_from_upload_to_download(browser, page, example, tmp_path):
    tab = use_example(browser, page)
    press_adapt(tab)
    assert tab.locator('#gallery img').count() >= 10
    before = tab.locator('#answers').inner_text()
    slider = tab.locator('#beta input[type=number]')
    slider.fill('2')
    slider.press('Enter')
    slider.blur()
    with tab.expect_download(timeout=120_000) as waiting:
        tab.click('#export')
        tab.wait_for_selector('#download', state='visible', timeout=120_000)
        tab.click('#download')
    file = tmp_path / 'mine.safetensors'
    waiting.value.save_as(file)
    photo = example['pointed'][5]
    assert Predictor.from_checkpoint(file)(photo)[0].name in before
    tab.context.close()


@needs_browser
def test_own_photos_and_a_broken_one(browser, page, example, tmp_path):
    tab = browser.new_context().new_page()
    tab.goto(page)
    tab.check('#clip input[value=creatures-rn]')
    broken = tmp_path / 'broken.png'
    broken.write_text('no image')
    for number, (name, photos) in enumerate(list(example.items())[:2]):
        tab.fill(f'#name-{number} textarea, #name-{number} input', name)
        own = [*photos[:3], *([broken] if number else [])]
        tab.set_input_files(f'#files-{number} input[type=file]', own)
        tab.wait_for_selector(f'#files-{number} .file-preview', timeout=20_000)
    tab.click('#adapt')
    tab.wait_for_selector('text=cannot be read as an image', timeout=60_000)
    assert not tab.locator('#gallery').is_visible()
    tab.context.close()


@needs_browser
def test_two_users_at_once(browser, page):
    """Each has a model of their own."""
    one, two = use_example(browser, page), use_example(browser, page)
    for tab, name in ((one, 'Alpha'), (two, 'Beta')):
        tab.fill('#name-0 textarea, #name-0 input', name)
        tab.click('#adapt')
    for tab, other in ((one, 'Beta'), (two, 'Alpha')):
        tab.wait_for_selector('#status:has-text("has learned")', timeout=240_000)
        tab.wait_for_selector('#gallery img', timeout=60_000)
        assert other not in tab.locator('#answers').inner_text()
        tab.context.close()
