"""Results of runs, for tests of the report."""

from safe_mm.report import paper
from safe_mm.report import results as res


def result(
    method='safe',
    dataset='caltech101',
    shots=1,
    seed=1,
    clip='RN50:openai',
    accuracy=80.0,
    safe=None,
    zero=60.0,
    method_hash=None,
    data_hash=None,
    date='2026-01-01',
    **more,
):
    """A result of one test variant; SAFE's beta 1 is 1 % better."""
    figures = {'accuracy': accuracy, 'zero-shot': zero}
    if safe is not None:
        figures.update({'beta=0': safe - 1.0, 'beta=0.5': safe, 'beta=1': safe + 1.0})
    return dict(
        dict(
            method=method,
            clip=clip,
            dataset=dataset,
            shots=shots,
            seed=seed,
            method_hash=method_hash or f'{method}-0123456789',
            data_hash=data_hash or f'{dataset}{shots}{seed}',
            test=dict(test=figures),
            grid=[],
            attention={},
            trained_parameters=7,
            fitted_parameters=0,
            stored_bytes=33_400,
            seconds=dict(train=2.0, test=1.0, test_image=0.01),
            made=dict(date=date),
        ),
        **more,
    )


def variant_results() -> list:
    """SAFE-A on ImageNet's variants, three seeds at 16 shots."""
    return [
        result(
            'safe-a',
            'imagenet_variants',
            16,
            seed,
            test={
                variant: {
                    'accuracy': 60.0 + i + seed,
                    'beta=0': 0.0,
                    'beta=0.5': 50.0 + i,
                    'zero-shot': 40.0 + i,
                }
                for i, variant in enumerate(paper.VARIANTS)
            },
        )
        for seed in (1, 2, 3)
    ]


def data_of(results, beta=0.5):
    """Accuracies of results as they would be read."""
    found = [dict(r, place=f'result {i}') for i, r in enumerate(results)]
    frame = res.to_frame(res.prepare(found))
    return res.accuracies(frame, res.blend_of(frame, beta))
