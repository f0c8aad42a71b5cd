"""Bring one run of one model over one folder of images up to date."""

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import pandas as pd
import pyarrow as pa

from seglib.adapters.lookup import Model, find_model
from seglib.cluster.address import parse_address
from seglib.cluster.engine import connect
from seglib.compute.engine import Engine, ThisMachine
from seglib.data.image_ids import ImageIds
from seglib.data.photo_root import PhotoRoot, parse_root, resolve_root, scan_photos
from seglib.data.resize import Resize, as_resize
from seglib.data.scan import FolderScan, Part, describe_mask_folders, select_by_name
from seglib.errors import UsageError, WeightsError
from seglib.inference import config, predictor
from seglib.inference.config import InferenceConfig, RunConfig
from seglib.maintenance import datasets
from seglib.maintenance.verify import damaged_masks, remove_damaged_counts, remove_damaged_packs, remove_damaged_parts
from seglib.models import loading
from seglib.models.registry import DEFAULT_MODEL, ModelSpec
from seglib.pipeline import labelling, quantization
from seglib.pipeline.photo_index import accept_new_times, readable_again, record_vanished
from seglib.pipeline.planning import FileIndex, RunPlan
from seglib.pipeline.report import RunReport
from seglib.pipeline.result_writer import OnProgress
from seglib.pipeline.session import RunOptions, _Session
from seglib.progress import OnNote
from seglib.store import scans
from seglib.store.embeddings import vectors
from seglib.store.photo_measures import rows as photo_measures
from seglib.store.records import Dataset, Run, clean_title, parse_title, utc_now
from seglib.store.scans import ScanRecord
from seglib.store.schemas import FILES_SCHEMA, ODDITIES_SCHEMA, stats_schema
from seglib.store.store import Store, as_store


def run(
    folder: str | os.PathLike[str],
    store: Store | str | os.PathLike[str] = "output",
    model: Model = DEFAULT_MODEL,
    *,
    classes: Sequence[str] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    resize: Resize | str | None = None,
    precision: str = "auto",
    title: str | None = None,
    options: RunOptions | None = None,
    on_progress: OnProgress | None = None,
    on_note: OnNote | None = None,
) -> RunReport:
    """Run a model over a folder of images, and keep masks and statistics in a store.

    Only what the store lacks is computed; an interrupted run resumes when called again. A folder with all photos of a
    dataset whose own folder is gone is taken to be that folder, moved.

    Args:
        folder: Folder of images, flat or nested; or the address of images on object storage, `s3://bucket/prefix`
            (`gs://`, `az://`), for which this process's environment must hold the credentials.
        store: A store or its path, where one is made if there is none.
        model: A name of `MODELS`, the path of a checkpoint made by `seglib train`, a torch module or other callable, or
            anything else that `find_model` takes or returns.
        classes: Class names in index order, for a model that names none.
        mean: Mean of the normalisation, three numbers for images of range 0..1, for a model that says none.
        std: Standard deviation of the normalisation.
        resize: Size of the masks, such as "224" or "short:520"; by default the model's own.
        precision: "fp32", "bf16", "int8", or "auto": what this model used last in this store, else the faster of fp32
            and bf16.
        title: What the run is called on pages; by default the model's name. It can be changed later.
        options: Options that change no mask, such as the device and the batch size.
        on_progress: Called after each image.
        on_note: Called with sentences for the user, such as what is about to be computed.

    Returns:
        The name of the run, how many images were computed, reused and unreadable, and the run's table and gallery.

    Raises:
        DatasetError: The folder does not exist, or holds no images.
        UnknownName: No model has this name.
        UsageError: The resize or the precision is unknown, the title is too long or holds control characters, or no
            digest identifies the model, so that a `part` cannot be added to another's run.
        WeightsError: The weights are missing, damaged, or do not fit the architecture.
        StoreError: The store cannot be written, or is damaged.

    Example:
        run = seglib.run("photos", "output", "fcn_mobilenet_v2")
        run.table("share.cat > 10%")  # pandas: one row per photo
        run.gallery("label = cats")  # the photos under their masks; displays in a notebook
    """
    options, root = options or RunOptions(), parse_root(folder)
    title = None if title is None else parse_title(title)
    spec = find_model(model, classes=classes, mean=mean, std=std)
    if options.part is not None and not _is_repeatable(spec):
        raise UsageError(
            f"No digest tells {spec.name} from other models, so that the parts of its run would not come together: "
            "leave out `part`."
        )
    resize = as_resize(resize or spec.resize)
    folder_scan = scan_photos(root, follow_links=options.follow_links, listing=options.listing)
    loading.ensure_weights(spec)
    with _open_engine(root, folder_scan, spec, options, precision=precision, on_note=on_note) as engine:
        return _run(
            root,
            folder_scan,
            store,
            spec,
            resize=resize,
            precision=precision,
            title=title,
            options=options,
            engine=engine,
            on_progress=on_progress,
            on_note=on_note,
        )


def _run(
    root: PhotoRoot,
    folder_scan: FolderScan,
    store: Store | str | os.PathLike[str],
    spec: ModelSpec,
    *,
    resize: Resize,
    precision: str,
    title: str | None,
    options: RunOptions,
    engine: Engine,
    on_progress: OnProgress | None,
    on_note: OnNote | None,
) -> RunReport:
    """`run` on an engine: bring the store's index up to date, plan, compute, and keep."""
    store = as_store(store, create=True)
    device = engine.resolve_device(config.device_for(spec, options.device))
    resolved = _resolved_precision(store, spec, resize, precision, device=device, engine=engine)
    settings = InferenceConfig(resize=resize, precision=resolved, device=device)
    with store.atomic.register_writer():
        data_set = _register_dataset(store, root, folder_scan, options, on_note)
        index = FileIndex(store, data_set)
        if not options.verify:
            accept_new_times(store, data_set, index, folder_scan.records)
        records = labelling.choose_labels(folder_scan.records, index, options.label_from)
        _notify(labelling.update_label_map(store, data_set, records, options.label_map, spec), on_note)
        if settings.precision == "int8":
            if options.on is not None:
                quantization.require(store, spec, resize)
            calibrated = quantization.calibrate(
                store, spec, resize, data_set=data_set, records=records, index=index, on_note=on_note
            )
            settings = replace(settings, quantised=calibrated)
        this_run = _register_run(store, spec, settings, title=title, verify=options.verify, on_note=on_note)
        scan_id = time.time_ns()
        vanished = record_vanished(store, data_set, index, records, scan_id)
        if options.label_from is not None:
            labelling.record_labels(store, data_set, index, records, scan_id)
        plan = RunPlan.build(
            _choose_photos(records, options),
            index,
            computed_ids=_computed_ids(store, this_run, spec, options),
            readable_again=partial(readable_again, data_set),
            verify=options.verify,
        )
        if plan.to_decode:
            if options.label_from is None and (offer := labelling.suggest_names(records)) is not None:
                _notify([offer], on_note)
            how = f"{settings.precision} (chosen by `precision` auto)" if precision == "auto" else settings.precision
            _notify([f"{this_run.run}: up to {len(plan.to_decode)} photos to compute, in {how}."], on_note)
        session = _Session(
            store=store,
            data_set=data_set,
            run=this_run,
            spec=spec,
            settings=settings,
            options=options,
            scan=scan_id,
            plan=plan,
            vanished=vanished,
            left_out=folder_scan.left_out,
            engine=engine,
            on_note=on_note,
        )
        report = _execute(session, on_progress)
    _notify(datasets.describe_shared(store, data_set), on_note)
    return report


def _choose_photos(records: pd.DataFrame, options: RunOptions) -> pd.DataFrame:
    """The records that the names, the limit and the part leave, in this order. Raises `DatasetError`."""
    if options.names is not None:
        records = select_by_name(records, options.names)
    chosen = records.iloc[: options.limit]
    return chosen if options.part is None else Part(*options.part).select(chosen)


def _open_engine(
    root: PhotoRoot,
    folder_scan: FolderScan,
    spec: ModelSpec,
    options: RunOptions,
    *,
    precision: str,
    on_note: OnNote | None,
) -> AbstractContextManager[Engine]:
    """What computes: this machine, or the cluster that `on` names, once its nodes are found to see the photos."""
    if options.on is None:
        return nullcontext(ThisMachine())
    device = config.device_for(spec, options.device)
    return connect(
        parse_address(options.on),
        root=resolve_root(root),
        record={str(name): value for name, value in folder_scan.records.iloc[0].items()},
        device="cpu" if precision == "int8" and device == "auto" else device,
        workers=options.workers,
        on_note=on_note,
    )


def _register_dataset(
    store: Store, root: PhotoRoot, folder_scan: FolderScan, options: RunOptions, on_note: OnNote | None
) -> Dataset:
    """Record the folder or bucket as a dataset of the store, with what its scan left out; with `verify`, remove damaged
    rows.
    """
    _notify(datasets.recognise_folder(store, root), on_note)
    _notify(describe_mask_folders(folder_scan.records), on_note)
    data_set = store.register_dataset(root, options.title)
    scans.keep(store, data_set, ScanRecord(folder_scan.left_out, options.follow_links))
    if options.verify:
        measures = (store.photo_measures_folder(), photo_measures.SCHEMA)
        _remove_damaged(store, [(store.files_folder(data_set), FILES_SCHEMA), measures], on_note)
    return data_set


def _execute(session: _Session, on_progress: OnProgress | None) -> RunReport:
    try:
        return session.execute(on_progress)
    except WeightsError:  # weights are only loaded, and so checked, if there is something to compute
        store, this_run = session.store, session.run
        is_new = not this_run.invocations and not store.count_rows(this_run)
        if is_new and not store.atomic.is_run_claimed(this_run.run):  # by a process that computes another part
            store.atomic.discard(store.run_folder(this_run.run))
        raise


def _register_run(
    store: Store, spec: ModelSpec, settings: InferenceConfig, *, title: str | None, verify: bool, on_note: OnNote | None
) -> Run:
    """Claim the run for this process and write its record; with `verify`, remove its damaged rows and all damaged
    counts.
    """
    run_config = config.make_run_config(spec, settings)
    store.atomic.claim_run(run_config.run_name)
    this_run = store.keep_run(
        replace(
            describe_run(run_config, parameters=spec.parameters or None, versions=config.library_versions()),
            title=title or default_title(spec),
            request=spec.request.to_record() if spec.request else {},
            untrained_classes=spec.untrained_classes,
            repeatable=_is_repeatable(spec),
        ),
        replace_damaged=verify,
    )
    if title and this_run.title != title:
        this_run = store.set_title(this_run, title)
    if spec.untrained_classes:
        _notify([f"{spec.name} was never trained on {', '.join(spec.untrained_classes)}: no mask shows them."], on_note)
    if not this_run.repeatable:
        _notify([f"{spec.name} cannot be identified by a digest: no later run continues this one."], on_note)
    if verify:
        parts = [
            (store.stats_folder(this_run), stats_schema(this_run.classes)),
            (store.oddities_folder(this_run.run), ODDITIES_SCHEMA),
            (store.embeddings_folder(this_run), vectors.SCHEMA),
        ]
        _remove_damaged(store, parts, on_note)
        _notify([*remove_damaged_packs(store, this_run), *remove_damaged_counts(store)], on_note)
    return this_run


def _is_repeatable(spec: ModelSpec) -> bool:
    return spec.adapter is None or spec.adapter.repeatable


def default_title(spec: ModelSpec) -> str | None:
    """What a run of a model from a file is called, so that it is not taken for the published model; else None."""
    return clean_title(f"{spec.path.stem} ({spec.name})") if spec.source == "file" else None


def describe_run(recipe: RunConfig, *, parameters: int | None, versions: Mapping[str, str]) -> Run:
    """The record of a run that nothing has been computed for yet."""
    fields = asdict(recipe)
    return Run(
        run=recipe.run_name,
        **{name: fields.pop(name) for name in ("model", "resize", "precision", "classes", "weights_sha256")},
        parameters=parameters,
        created=utc_now(),
        recipe=fields,
        versions=dict(versions),
    )


def _remove_damaged(store: Store, folders: list[tuple[Path, pa.Schema]], on_note: OnNote | None) -> None:
    _notify(remove_damaged_parts(store, folders), on_note)


def _notify(sentences: list[str], on_note: OnNote | None) -> None:
    if on_note is not None:
        for sentence in sentences:
            on_note(sentence)


def _resolved_precision(
    store: Store, spec: ModelSpec, resize: Resize, precision: str, *, device: str, engine: Engine
) -> str:
    """Resolve `auto`, preferring what this model used last in this store with the same weights and resize."""
    sha256 = loading.weights_sha256(spec)
    earlier = [
        run.precision
        for run in store.runs()
        if (run.model, run.weights_sha256, run.resize) == (spec.name, sha256, resize.text) and run.precision
    ]
    return config.resolve_precision(spec, precision, earlier, device, engine.fastest_precision)


def _computed_ids(store: Store, this_run: Run, spec: ModelSpec, options: RunOptions) -> ImageIds:
    """Images that need no forward pass; with `verify`, without those that lack an intact mask or an embedding."""
    ids = store.computed_ids(this_run)
    if not options.verify:
        return ids
    intact = set(ids) - damaged_masks(store, this_run)
    if options.embeddings and predictor.gives_features(spec):
        intact &= vectors.read_ids(store.embeddings_folder(this_run))
    return ImageIds(intact)
