"""The files of an order: which there are, what each is called, and what is asked for each.

What lives here: uploads by id and recordings in buckets as `JobFile`s, with checked options. What does not:
the rest of the order (`job_orders.py`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from clearcast.errors import NotFound, OptionInvalid
from clearcast.storage.files import FileRecord
from clearcast.storage.job_order import JobFile
from clearcast.storage.places import S3
from deployments.ingress.job_answers import FileRequest, JobRequest
from deployments.ingress.problems import from_validation
from deployments.ingress.state import IngressState
from deployments.ingress.tus_parts import intake_of
from pipelines.batch.bucket_recordings import BucketRecordings
from pipelines.batch.sources import result_names
from pipelines.recipe import Recipe

MAX_BUCKET_FILES = 10_000


def find_files(
    state: IngressState, owner: str, wanted: JobRequest, came: Sequence[FileRecord]
) -> list[JobFile]:
    """Every file of the order, those that `came` with it after those sent before. What lies at the
    destination is a result and no source.

    Blocks. Raises Forbidden, NotFound, OptionInvalid, FileFormatInvalid, ServiceUnavailable.
    """
    files = [JobFile(file.id, file.name) for file in (*stored(state, owner, wanted.file_ids), *came)]
    files += _with_options(state, owner, wanted.files)
    files += _in_buckets(state, owner, wanted.sources)
    if not files:
        raise OptionInvalid(
            "A job needs at least one file.", hint="Send file parts, file_ids, files or sources."
        )
    if wanted.destination is None:
        return files
    results = wanted.destination.rstrip("/") + "/"
    files = [file for file in files if not file.file_id.startswith(results)]
    names = result_names([file.name for file in files])
    return [file._replace(output_name=name) for file, name in zip(files, names, strict=True)]


def check_options(
    state: IngressState, owner: str, recipe: Recipe, options: Mapping[str, Any], files: Sequence[JobFile]
) -> None:
    """See that the options of every file are what the recipe takes, and name files that are the owner's.

    Blocks. Raises OptionInvalid, NotFound.
    """
    each = {json.dumps(file.options, sort_keys=True): file for file in reversed(files)}
    for file in each.values():
        try:
            checked = recipe.Options.model_validate({**options, **file.options})
        except ValidationError as error:
            wrong = from_validation(error)
            if file.options:
                wrong = OptionInvalid(f"{file.name!r}: {wrong.message}", field="options")
            raise wrong from error
        stored(state, owner, checked.file_ids(), "options")


def stored(
    state: IngressState, owner: str, file_ids: Sequence[str], field: str = "file_ids"
) -> list[FileRecord]:
    """The owner's files of these ids, all of them whole; `field` of the request names them.

    Blocks. Raises NotFound, OptionInvalid.
    """
    if not file_ids:
        return []
    intake = intake_of(state)
    known = intake.records.find_all(owner, file_ids)
    records = []
    for file_id in file_ids:
        record = known.get(file_id)
        if record is not None and record.is_stored:
            records.append(record)
            continue
        try:
            record = intake.find(owner, file_id)  # its last byte may just have arrived
        except NotFound as error:
            raise NotFound(
                f"You have no file {file_id[:64]!r}.", hint="See GET /v1/files.", field=field
            ) from error
        if not record.is_stored:
            raise OptionInvalid(f"The upload {file_id} is not finished yet.", field=field)
        records.append(record)
    return records


def _with_options(state: IngressState, owner: str, wanted: Sequence[FileRequest]) -> Iterator[JobFile]:
    """Whether a recording in a bucket is there is seen when its turn comes."""
    bucket = BucketRecordings(state.settings, owner)
    ids = [one.file for one in wanted if not one.file.startswith(S3)]
    uploads = {record.id: record for record in stored(state, owner, ids, "files")}
    for one in wanted:
        if one.file in uploads:
            yield JobFile(one.file, uploads[one.file].name, one.options)
        else:
            recording = bucket.named(one.file, one.options)
            yield JobFile(recording.address, recording.name, recording.options)


def _in_buckets(state: IngressState, owner: str, sources: Sequence[str]) -> list[JobFile]:
    """Every recording below the sources, each once for each set of options."""
    bucket = BucketRecordings(state.settings, owner)
    found: dict[tuple[str, str], JobFile] = {}
    for source in sources:
        for one in bucket.find(source, MAX_BUCKET_FILES - len(found)):
            options = json.dumps(one.options, sort_keys=True)
            found[one.address, options] = JobFile(one.address, one.name, one.options)
    return list(found.values())
