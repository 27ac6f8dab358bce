"""The page, from end to end in a headless browser."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from PIL import Image

from safe_mm import Predictor
from safe_mm.errors import InputError
from safe_mm.webpage import adapt as adapting
from safe_mm.webpage.adapt import CREATURES, Adaptation, check_classes, decode, draw_example

from .conftest import ROOT, fails

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
    from safe_mm.webpage.app import classify, save

    told = []
    own = {name: photos[:4] for name, photos in example.items()}
    found = Adaptation(own, method, CREATURES, told.append)
    others = [photos[5] for photos in example.values()]
    verdicts = found.classify(others)
    if method in SAVED:
        model, download = save(found, 0.5)
        assert (
            model is found and classify(found, others, 0.5)[0] is found
        )  # gradio keeps what is used
        answers = Predictor.from_checkpoint(download['value'])(others)
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
        ({'red cat': photos, 'red_cat': photos}, "'red cat' and 'red_cat' differ only in case or"),
        ({'Cat': photos, 'cat': photos}, "'Cat' and 'cat' differ only in case or"),
    ):
        with pytest.raises(InputError, match=message):
            check_classes(classes)
    broken = tmp_path / 'broken.png'
    broken.write_bytes(Path(photos[0]).read_bytes()[:200])
    parent = Path(adapting.process_folder().name)
    before = set(parent.iterdir())
    with pytest.raises(InputError, match='broken.png cannot be read as an image'):
        Adaptation({'a': photos, 'b': [photos[0], str(broken)]}, 'SAFE', CREATURES)
    assert set(parent.iterdir()) == before
    large = tmp_path / 'large.png'
    Image.new('1', (9000, 9000)).save(large)
    with pytest.raises(InputError, match='9000 x 9000 pixels. Make it smaller'):
        decode(str(large))


@pytest.fixture(scope='module')
def page(tmp_path_factory):
    """The address of a running page; Ctrl-C leaves nothing of its users."""
    folder = tmp_path_factory.mktemp('temporary')
    with subprocess.Popen(
        [sys.executable, '-u', ROOT / 'tools' / 'demo.py', '--no-browser'],
        env={**os.environ, 'PYTHONPATH': str(ROOT), 'TMPDIR': str(folder)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield next(filter(None, (re.search(r'http://\S+', line) for line in process.stdout)))[0]
            assert list(folder.glob('safe_mm-*/*/*'))
        finally:
            process.send_signal(signal.SIGINT)
    assert process.returncode == 130
    assert not [path for path in folder.rglob('*') if path.is_file()]


@pytest.fixture(scope='module')
def browser():
    playwright = pytest.importorskip('playwright.sync_api')
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=['--no-sandbox'])
        yield opened
        opened.close()


def open_tab(browser, page):
    tab = browser.new_context(accept_downloads=True).new_page()
    tab.set_default_timeout(120_000)
    tab.goto(page)
    return tab


def use_example(browser, page):
    tab = open_tab(browser, page)
    tab.click('#example')
    tab.wait_for_function("document.querySelector('#name-4 textarea, #name-4 input')?.value")
    return tab


def upload(tab, place, files):
    tab.set_input_files(f'{place} input[type=file]', files)
    tab.wait_for_selector(f'{place} .file-preview')


def name_class(tab, number, name, files):
    tab.fill(f'#name-{number} textarea, #name-{number} input', name)
    upload(tab, f'#files-{number}', files)


def answers(tab):
    """File name -> answers of zero-shot CLIP and of the adapted model, as shown."""
    tab.wait_for_selector('#gallery img')
    tab.wait_for_selector('#answers:has-text("%")')
    rows = re.findall(r'(\S+\.png)\s+(.+? %)\s+(.+? %)', tab.locator('#answers').inner_text())
    return {name: both for name, *both in rows}


def move_slider(tab, beta):
    slider = tab.locator('#beta input[type=number]')
    slider.fill(str(beta))
    slider.blur()


@needs_browser
def test_from_upload_to_download(browser, page, example, tmp_path):
    """Own photos, the slider, and a file with the answers that are shown."""
    tab = open_tab(browser, page)
    tab.check('#clip input[value=creatures-rn]')
    for _ in range(2):
        tab.click('#more')
    for number, (name, photos) in enumerate(example.items()):
        name_class(tab, number, f'{name} ears', photos[:4])
    tab.click('#adapt')
    start = time.monotonic()
    tab.wait_for_selector('#status:has-text("SAFE has learned 5 classes")')
    print(f'From Adapt to the model: {time.monotonic() - start:.1f} s')
    others = [Path(photos[5]) for photos in example.values()]
    upload(tab, '#others', others)
    before = answers(tab)
    assert list(before) == [photo.name for photo in others]
    move_slider(tab, 2)
    for _ in range(600):
        after = answers(tab)
        if len(after) == len(before) and after != before:
            break
        tab.wait_for_timeout(100)
    assert [adapted for _, adapted in after.values()] != [adapted for _, adapted in before.values()]
    assert [zero for zero, _ in after.values()] == [zero for zero, _ in before.values()]
    tab.click('#export')
    tab.wait_for_selector('#download', state='visible')
    with tab.expect_download() as waiting:
        tab.click('#download')
    file = tmp_path / 'mine.safetensors'
    waiting.value.save_as(file)
    for found in Predictor.from_checkpoint(file)(others):
        shown = f'{found.name.replace("_", " ")} {100 * found.score:.0f} %'
        assert shown == after[found.path.name][1]
    move_slider(tab, 0)
    tab.wait_for_selector('#download', state='hidden')  # it is of another beta
    tab.context.close()


@needs_browser
def test_a_broken_photo(browser, page, example, tmp_path):
    tab = open_tab(browser, page)
    broken = tmp_path / 'broken.png'
    broken.write_text('no image')
    for number, (name, photos) in enumerate(list(example.items())[:2]):
        name_class(tab, number, name, [*photos[:3], *([broken] if number else [])])
    tab.click('#adapt')
    tab.wait_for_selector('text=broken.png cannot be read as an image')
    assert not tab.locator('#gallery').is_visible()
    tab.context.close()


@needs_browser
def test_two_users_at_once(browser, page, example):
    """Each has a model of their own."""
    tabs = {user: use_example(browser, page) for user in ('Alpha', 'Omega')}
    for user, tab in tabs.items():
        for number in range(len(example)):
            tab.fill(f'#name-{number} textarea, #name-{number} input', f'{user} {number}')
        tab.click('#adapt')
    for user, tab in tabs.items():
        rows = answers(tab).values()
        assert len(rows) == 2 * len(example)
        assert all(answer.startswith(f'{user} ') for row in rows for answer in row)
        tab.context.close()


@needs_browser
def test_an_unused_model_is_deleted(browser, monkeypatch):
    """Then the page says so."""
    from safe_mm.webpage import app

    class Stub:
        beta, deleted = 0.5, threading.Event()
        close = deleted.set

        def __init__(self, *args):
            pass

        def classify(self, *args):
            return []

    monkeypatch.setattr(app, 'Adaptation', Stub)
    monkeypatch.setattr(app, 'KEPT', 1)
    page = app.build_page()
    _, address, _ = page.launch(prevent_thread_lock=True, quiet=True)
    tab = open_tab(browser, address)
    tab.click('#adapt')
    tab.wait_for_selector('#beta')
    assert Stub.deleted.wait(60)
    move_slider(tab, 2)
    tab.wait_for_selector('text=Press Adapt again')
    tab.context.close()
    page.close()


def test_a_port_that_is_in_use():
    with socket.create_server(('127.0.0.1', 0)) as taken:
        port = taken.getsockname()[1]
        fails(f'--port {port} is in use', 'demo', '--no-browser', '--port', port)
