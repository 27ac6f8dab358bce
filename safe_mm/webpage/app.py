"""The page, with gradio."""

import tempfile
from functools import cache
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple

import gradio as gr

from ..errors import InputError, message_of
from .adapt import CREATURES, METHODS, PHOTOS, Adaptation, draw_example

SLOTS = 8  # classes
SHOWN = 3  # of them at the start
MAX_FILE = '10mb'
KEPT = 3600  # seconds that a user's photos and model stay
EXAMPLE_PHOTOS = 4  # of each class; others are to be classified

# Whatever uses a model. While torch.export traces one, no thread may call any.
ONE_AT_A_TIME: Dict[str, Any] = dict(concurrency_id='model', concurrency_limit=1)

INTRODUCTION = """# Adapt CLIP to your photos
Name some classes, add a few photos of each, and press *Adapt*. Then add other photos: zero-shot
CLIP's answer stands beside that of the adapted model, red is where it looks. Photos stay on this
computer, and are deleted an hour after you leave."""


def build_page() -> gr.Blocks:
    """The page, to be launched."""
    with gr.Blocks(title='safe_mm', analytics_enabled=False, delete_cache=(600, KEPT)) as page:
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
        example.click(use_example, None, [clip, others, shown, *rows, *names, *files])
        answers = [gallery, table]

        def run(values: Dict[Any, Any], progress: gr.Progress = gr.Progress()) -> List[Any]:  # noqa: B008
            slots = [(values[name], values[own]) for name, own in zip(names, files)]
            return adapt(values[state], values[method], values[clip], slots, progress)

        adapt_button.click(
            run,
            {state, method, clip, *names, *files},
            [state, status, results, beta, download],
            **ONE_AT_A_TIME,
        ).success(classify, [state, others, beta], answers, **ONE_AT_A_TIME)
        others.change(classify, [state, others, beta], answers, **ONE_AT_A_TIME)
        beta.release(classify, [state, others, beta], answers, **ONE_AT_A_TIME)
        export.click(save, state, download, **ONE_AT_A_TIME)
    return page


def close(adaptation: Optional[Adaptation]) -> None:
    """Deletes what belongs to a user who has left."""
    if adaptation is not None:
        adaptation.close()


def show_more(shown: int) -> List[Any]:
    shown = min(shown + 1, SLOTS)
    return [shown, *(gr.update(visible=i < shown) for i in range(SLOTS))]


@cache
def example_folder() -> tempfile.TemporaryDirectory:
    """Holds the drawn photos; deleted when the process ends."""
    return tempfile.TemporaryDirectory(prefix='safe_mm-example-')


def use_example() -> List[Any]:
    """Fills the page with drawn creatures."""
    classes = draw_example(Path(example_folder().name))
    count = len(classes)
    rest = [path for photos in classes.values() for path in photos[EXAMPLE_PHOTOS:]]
    empty = SLOTS - count
    return [
        CREATURES,
        rest,
        count,
        *(gr.update(visible=i < count) for i in range(SLOTS)),
        *(list(classes) + [''] * empty),
        *([photos[:EXAMPLE_PHOTOS] for photos in classes.values()] + [None] * empty),
    ]


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
            raise gr.Error(f'Two classes are called {name!r}.')
        if name or photos:
            classes[name] = photos or []
    try:
        progress(0, 'Reading the photos')
        found = Adaptation(classes, method, clip, lambda share: progress(share, 'Adapting'))
    except InputError as error:
        raise gr.Error(message_of(error)) from None
    close(before)
    text = f'{method} has learned {len(classes)} classes.'
    slider = gr.update(visible=found.beta is not None, value=found.beta or 0)
    return [found, text, gr.update(visible=True), slider, gr.update(visible=False)]


def classify(
    adaptation: Optional[Adaptation], photos: Optional[List[str]], beta: float
) -> List[Any]:
    """Pictures with captions, and a table."""
    if adaptation is None or not photos:
        return [[], []]
    try:
        verdicts = adaptation.classify(photos, beta)
    except InputError as error:
        raise gr.Error(message_of(error)) from None
    pictures = [(v.picture, v.adapted) for v in verdicts]
    rows = [[Path(p).name, v.zero_shot, v.adapted] for p, v in zip(photos, verdicts)]
    return [pictures, rows]


def save(adaptation: Optional[Adaptation]) -> Any:
    """The self-contained file, for download."""
    if adaptation is None:
        raise gr.Error('Adapt a model first.')
    try:
        return gr.update(value=str(adaptation.save()), visible=True)
    except InputError as error:
        raise gr.Error(message_of(error)) from None


def launch(port: Optional[int] = None, open_browser: bool = True) -> None:
    """Serves the page on this computer alone, until Ctrl-C.

    Args:
        port (int, optional): Defaults to the first free one from 7860 on.
        open_browser (bool): Whether to open it in a browser. Defaults to True.
    """
    build_page().launch(
        server_name='127.0.0.1',
        server_port=port,
        inbrowser=open_browser,
        max_file_size=MAX_FILE,
        quiet=False,
        share=False,
    )
