"""The page, with gradio."""

import os
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import gradio as gr

from ..errors import InputError, message_of
from .adapt import CREATURES, METHODS, PHOTOS, Adaptation, draw_example, new_folder

SLOTS = 8  # classes
SHOWN = 3  # of them at the start
MAX_FILE = '10mb'
KEPT = 3600  # seconds that uploads stay, and an unused model
EXAMPLE_PHOTOS = 4  # of each class; others are to be classified

# Whatever uses a model. While torch.export traces one, no thread may call any.
ONE_AT_A_TIME: Dict[str, Any] = dict(concurrency_id='model', concurrency_limit=1)

INTRODUCTION = """# Adapt CLIP to your photos
Name some classes, add a few photos of each, and press *Adapt*. Then add other photos: zero-shot
CLIP's answer stands beside that of the adapted model, red is where it looks. Photos stay on this
computer. They are deleted an hour after their last use at the latest, and when the program ends."""


def build_page() -> gr.Blocks:
    """The page, to be launched."""
    with gr.Blocks(title='safe_mm', analytics_enabled=False, delete_cache=(60, KEPT)) as page:
        gr.Markdown(INTRODUCTION)
        state = gr.State(None, time_to_live=KEPT, delete_callback=close)
        shown = gr.State(SHOWN)
        with gr.Row():
            method = gr.Dropdown(list(METHODS), value='SAFE', label='Method', elem_id='method')
            clip = gr.Radio([PHOTOS, CREATURES], value=PHOTOS, label='CLIP', elem_id='clip')
            example = gr.Button('Use drawn creatures', elem_id='example')
        rows, names, files = [], [], []
        for number in range(SLOTS):
            with gr.Row(visible=number < SHOWN) as row:
                names.append(
                    gr.Textbox(label=f'Class {number + 1}', elem_id=f'name-{number}', scale=1)
                )
                files.append(
                    gr.File(
                        label='Photos',
                        file_count='multiple',
                        file_types=['image'],
                        elem_id=f'files-{number}',
                        height=110,
                        scale=3,
                    )
                )
            rows.append(row)
        with gr.Row():
            more = gr.Button('Another class', elem_id='more')
            adapt_button = gr.Button('Adapt', variant='primary', elem_id='adapt')
        status = gr.Markdown(elem_id='status')
        with gr.Column(visible=False) as results:
            others = gr.File(
                label='Photos to classify',
                file_count='multiple',
                file_types=['image'],
                elem_id='others',
                height=110,
            )
            beta = gr.Slider(0, 2, 0.5, step=0.1, label='Weight of CLIP (beta)', elem_id='beta')
            gallery = gr.Gallery(label='Answers', columns=4, elem_id='gallery', height='auto')
            table = gr.Dataframe(
                headers=['photo', 'zero-shot CLIP', 'adapted'], elem_id='answers', wrap=True
            )
            with gr.Row():
                export = gr.Button('Make a file of the classifier', elem_id='export')
                download = gr.DownloadButton('Download', visible=False, elem_id='download')
        more.click(show_more, shown, [shown, *rows], trigger_mode='multiple')
        example.click(use_example, None, [results, clip, others, shown, *rows, *names, *files])
        model = [state, others, beta]
        answers = [state, gallery, table, download]

        def run(values: Dict[Any, Any], progress: gr.Progress = gr.Progress()) -> List[Any]:  # noqa: B008
            slots = [(values[name], values[own]) for name, own in zip(names, files)]
            return adapt(values[state], values[method], values[clip], slots, progress)

        adapt_button.click(
            run,
            {state, method, clip, *names, *files},
            [state, status, results, beta],
            **ONE_AT_A_TIME,
        ).success(classify, model, answers, **ONE_AT_A_TIME)
        changed = [others.upload, others.delete, others.clear, beta.release]
        gr.on(changed, classify, model, answers, **ONE_AT_A_TIME)
        export.click(save, [state, beta], [state, download], **ONE_AT_A_TIME)
    return page


def close(adaptation: Optional[Adaptation]) -> None:
    """Deletes what belongs to a user who has left."""
    if adaptation is not None:
        adaptation.close()


def show_more(shown: int) -> List[Any]:
    shown = min(shown + 1, SLOTS)
    return [shown, *(gr.update(visible=i < shown) for i in range(SLOTS))]


@contextmanager
def errors_shown() -> Iterator[None]:
    """Shows what a user can correct as a message on the page."""
    try:
        yield
    except InputError as error:
        raise gr.Error(message_of(error), print_exception=False) from None


@cache
def example_photos() -> Dict[str, List[str]]:
    return draw_example(new_folder())


def use_example() -> List[Any]:
    """Fills the page with drawn creatures."""
    classes = example_photos()
    count = len(classes)
    rest = [path for photos in classes.values() for path in photos[EXAMPLE_PHOTOS:]]
    empty = SLOTS - count
    return [
        gr.update(visible=False),
        CREATURES,
        rest,
        count,
        *(gr.update(visible=i < count) for i in range(SLOTS)),
        *(list(classes) + [''] * empty),
        *([photos[:EXAMPLE_PHOTOS] for photos in classes.values()] + [None] * empty),
    ]


@errors_shown()
def adapt(
    before: Optional[Adaptation],
    method: str,
    clip: str,
    slots: List[Tuple[str, Optional[List[str]]]],
    progress: Callable[..., Any],
) -> List[Any]:
    """Trains a model of this user's photos; ``slots`` are names and photos of classes."""
    classes: Dict[str, List[str]] = {}
    for name, photos in slots:
        name = ' '.join((name or '').split())
        if name in classes:
            raise InputError(f'Two classes are called {name!r}. Rename one of them.')
        if name or photos:
            classes[name] = photos or []
    progress(0, 'Reading the photos')
    found = Adaptation(classes, method, clip, lambda share: progress(share, 'Adapting'))
    close(before)
    text = f'{method} has learned {len(classes)} classes.'
    slider = gr.update(visible=found.beta is not None, value=found.beta or 0)
    return [found, text, gr.update(visible=True), slider]


def present(adaptation: Optional[Adaptation]) -> Adaptation:
    """A user's model, which gradio deletes when it was not used for long."""
    if adaptation is None:
        raise InputError('The model was deleted after an hour without use. Press Adapt again.')
    return adaptation


@errors_shown()
def classify(
    adaptation: Optional[Adaptation], photos: Optional[List[str]], beta: float
) -> List[Any]:
    """The model itself, which counts as its use; pictures with captions; a table; no download."""
    verdicts = present(adaptation).classify(photos or [], beta)
    pictures = [(v.picture, v.adapted) for v in verdicts]
    rows = [[Path(p).name, v.zero_shot, v.adapted] for p, v in zip(photos or [], verdicts)]
    return [adaptation, pictures, rows, gr.update(visible=False)]


@errors_shown()
def save(adaptation: Optional[Adaptation], beta: float) -> List[Any]:
    """The model itself, which counts as its use, and its self-contained file for download."""
    return [adaptation, gr.update(value=str(present(adaptation).save(beta)), visible=True)]


def launch(port: Optional[int] = None, open_browser: bool = True) -> None:
    """Serves the page on this computer alone, until Ctrl-C.

    Args:
        port (int, optional): Defaults to the first free one from 7860 on.
        open_browser (bool): Whether to open it in a browser. Defaults to True.

    Raises:
        InputError: The port cannot be used.
    """
    os.environ['GRADIO_TEMP_DIR'] = str(new_folder())  # of uploads
    page = build_page()
    try:
        page.launch(
            server_name='127.0.0.1',
            server_port=port,
            inbrowser=open_browser,
            max_file_size=MAX_FILE,
            share=False,
            prevent_thread_lock=True,
        )
    except (OSError, OverflowError):
        raise InputError(
            f'--port {port} is in use or not allowed. Choose another, or leave it out.'
        ) from None
    try:
        page.block_thread()
    finally:
        page.close()
