"""Examples for OpenAPI of what models cannot show by themselves: forms, ids in addresses, whole answers.

What lives here: one example per operation and media type, put into the description by `documentation.py`.
What does not: examples of models, which stand beside them, and of problems (`problem_docs.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_JOB_ID = "job_01k9x3v7w2e8m5q4r6t9y0z1ab"
_FILE_ID = "file_01k9z3x5c8m2v7q4w6t1r0y9pb"
_USER_ID = "user_01k9zq3v5m8r2t4w6y8a0c2e4g"

PARAMETERS: Mapping[str, str] = {
    "after": "",
    "cursor": "",
    "file_id": _FILE_ID,
    "job_id": _JOB_ID,
    "key_id": "key_01k9zq3v5m8r2t4w6y8a0c2e4g",
    "last-event-id": "17",
    "model": "whisper-1",
    "name": "Sara",
    "pipeline": "meeting",
    "room_id": "room_01k9zr5x8m2c4v6b8n0q2w4e6r",
    "since": "2026-03-01T00:00:00Z",
    "state": "running",
    "token_id": "rtk_01k9zr7a2c4e6g8j0m2p4r6t8w",
    "token": "eyJmIjoi….c2lnbmF0dXJl",
    "until": "2026-04-01T00:00:00Z",
    "user": _USER_ID,
    "user_id": _USER_ID,
}
"""By name, for parameters without an example of their own; where it is empty, none is needed."""

RESULT_NAME = "meeting"

FORMS: Mapping[str, Mapping[str, Any]] = {
    "createDiarization": {"file": "meeting.wav", "num_speakers": 2},
    "createFile": {"file": "interview.mp3"},
    "createJob": {"file": "monday.wav", "pipeline": "meeting", "options": '{"language": "fa"}'},
    "createMeeting": {"file": "meeting.wav", "language": "en"},
    "createTranscription": {"file": "talk.m4a", "model": "whisper-1", "language": "fa"},
    "createTranslation": {"file": "talk.m4a", "model": "whisper-1"},
    "enrolVoice": {"file": "sara.wav", "name": "Sara"},
    "legacyBoost": {"file": "quiet.mp3", "boost": 3},
    "legacyDenoise": {"file": "noisy.mp3", "boost": 2},
    "legacyExtract": {"file": "classroom.mp3", "reference": "teacher.wav"},
    "legacySeparate": {"file": "song.mp3", "stem": "vocals"},
}
"""By operation: fields of a form; a file is the name of one."""

_VOICES_FILE = {
    "clearcast": 1,
    "type": "voices",
    "voices": [
        {
            "name": "Sara",
            "created_at": "2026-01-31T09:00:00+00:00",
            "samples": [
                {"model": "resemblyzer", "dimension": 2, "speech_s": 11.2, "embedding": [0.6, 0.8]}
            ],
        }
    ],
}
BODIES: Mapping[str, Any] = {"importVoices": _VOICES_FILE, "renameVoice": {"name": "Sara Karimi"}}

_TURNS = [{"start_s": 0.0, "end_s": 2.4, "speaker": "Sara"}]
_DIARIZER = {"service": "diarize", "engine": "vbx", "model": "resemblyzer", "quality": None}
_TRANSCRIBER = {"service": "transcribe", "engine": "faster_whisper", "model": "small", "quality": None}
_MEETING = {
    "clearcast": 1,
    "type": "meeting",
    "diarization": {
        "turns": _TURNS,
        "duration_s": 2.4,
        "overlap_marked": False,
        "provenance": _DIARIZER,
    },
    "speakers": [
        {
            "label": "SPEAKER_00",
            "speech_s": 2.4,
            "verdict": "identified",
            "best_name": "Sara",
            "best_score": 0.83,
            "runner_up_name": "Omid",
            "runner_up_score": 0.41,
        }
    ],
    "transcript": {
        "segments": [
            {
                "start_s": 0.0,
                "end_s": 2.4,
                "speaker": "Sara",
                "text": "Good morning everybody.",
                "words": [],
                "confidence": 0.91,
                "no_speech_probability": 0.02,
            }
        ],
        "language": "en",
        "language_confidence": 0.99,
        "duration_s": 2.4,
        "provenance": [_TRANSCRIBER],
    },
    "warnings": [],
}
_TRANSCRIPTION = {
    "text": "Good morning everybody.",
    "usage": {"type": "duration", "seconds": 2.4},
    "provenance": [_TRANSCRIBER],
    "warnings": [],
}
_SRT = "1\n00:00:00,000 --> 00:00:02,400\nSara: Good morning everybody.\n"
_VTT = "WEBVTT\n\n00:00:00.000 --> 00:00:02.400\n<v Sara>Good morning everybody.\n"
_TEXTS = {
    "text/plain": "Good morning everybody.\n",
    "application/x-subrip": _SRT,
    "text/vtt": _VTT,
    "text/event-stream": 'data: {"type":"transcript.text.delta","delta":"Good morning"}\n\n',
}
_VOICE = {
    "name": "Sara",
    "created_at": "2026-01-31T09:00:00Z",
    "samples": [{"model": "resemblyzer", "speech_s": 11.2}],
}
_MODEL = {
    "id": "faster_whisper",
    "object": "model",
    "created": 1767225600,
    "owned_by": "clearcast",
    "service": "transcribe",
    "engine": "faster_whisper",
    "model": "small",
    "quality": None,
    "ready": True,
    "aliases": ["small", "whisper-1"],
}
_JOB = {
    "id": _JOB_ID,
    "pipeline": "meeting",
    "label": "Monday",
    "priority": "normal",
    "state": "running",
    "created_at": "2026-03-02T09:00:00Z",
    "started_at": "2026-03-02T09:00:01Z",
    "finished_at": None,
}
_TASK = {
    "number": 0,
    "file_id": _FILE_ID,
    "file_name": "monday.wav",
    "state": "running",
    "stage": "transcribe",
    "stage_fraction": 0.2,
    "fraction": 0.42,
    "duration_s": None,
    "error": None,
    "warnings": [],
    "options": {},
    "outputs": [],
}
_EVENT = (
    'id: 17\nevent: progress\ndata: {"task":0,"stage":"transcribe","stage_fraction":0.2,"fraction":0.42,'
    '"at":"2026-03-02T09:00:09+00:00"}\n\n'
)
_BYTES = {"application/octet-stream": "(the bytes of the file)"}
_ACCOUNT = {
    "id": _USER_ID,
    "name": "Sara",
    "is_admin": False,
    "is_disabled": False,
    "has_password": True,
    "created_at": "2026-01-31T09:00:00Z",
    "locked_until": None,
    "quota_bytes": 20000000000,
}
_JSON = "application/json"

ANSWERS: Mapping[str, Mapping[str, Any]] = {
    "createTranscription": {_JSON: _TRANSCRIPTION, **_TEXTS},
    "createTranslation": {_JSON: _TRANSCRIPTION, **_TEXTS},
    "createMeeting": {_JSON: _MEETING, **_TEXTS},
    "createDiarization": {_JSON: {**_MEETING, "transcript": None}, "text/plain": "0:00.0 Sara\n"},
    "listVoices": {_JSON: {"voices": [_VOICE]}},
    "exportVoices": {_JSON: _VOICES_FILE},
    "importVoices": {_JSON: {"voices": [_VOICE]}},
    "renameVoice": {_JSON: {**_VOICE, "name": "Sara Karimi"}},
    "eraseVoice": {
        _JSON: {
            "erased": True,
            "name": "Sara",
            "samples": 2,
            "record_sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "erased_at": "2026-01-31T10:00:00Z",
        }
    },
    "listModels": {_JSON: {"object": "list", "data": [_MODEL]}},
    "retrieveModel": {_JSON: _MODEL},
    "isAlive": {_JSON: {"status": "alive"}},
    "isReady": {_JSON: {"status": "ready", "missing": {}, "waiting": {}}},
    "readMetrics": {"text/plain": "clearcast_queue_tasks 3.0\n"},
    "listPipelines": {
        _JSON: {
            "pipelines": [
                {
                    "name": "meeting",
                    "summary": "Who said what, by name.",
                    "options": {"type": "object", "properties": {"language": {"type": "string"}}},
                }
            ]
        }
    },
    "listDeliveries": {
        _JSON: {
            "deliveries": [
                {
                    "id": "msg_01k9x3v7w2e8m5q4r6t9y0z1ab",
                    "job_id": _JOB_ID,
                    "url": "https://example.org/hook",
                    "state": "delivered",
                    "attempts": 1,
                    "last_answer": "204",
                    "created_at": "2026-03-02T09:00:00Z",
                    "finished_at": "2026-03-02T09:00:01Z",
                }
            ],
            "next": None,
        }
    },
    "listJobs": {_JSON: {"jobs": [_JOB], "next": None}},
    "listTasks": {_JSON: {"tasks": [_TASK], "next": None}},
    "downloadResult": _BYTES,
    "downloadTable": {
        "text/csv": "task,file,outcome,error_code,duration_s\n0,monday.wav,succeeded,,1834.2\n",
        "application/vnd.apache.parquet": "(the bytes of the table)",
    },
    "followJob": {"text/event-stream": _EVENT},
    "downloadFile": _BYTES,
    "describeDownload": _BYTES,
    "followLink": _BYTES,
    "exportMe": {"application/zip": "(the bytes of a zip file)"},
    "listKeys": {
        _JSON: {
            "keys": [
                {
                    "id": "key_01k9zq3v5m8r2t4w6y8a0c2e4g",
                    "label": "the newsroom's script",
                    "scopes": ["jobs:read", "jobs:write"],
                    "created_at": "2026-01-31T09:00:00Z",
                    "expires_at": None,
                    "last_used_at": "2026-02-01T08:12:00Z",
                }
            ]
        }
    },
    "readMe": {_JSON: {**_ACCOUNT, "scopes": ["*"]}},
    "listUsers": {_JSON: {"users": [_ACCOUNT], "next_cursor": None}},
    "readAudit": {
        _JSON: {
            "lines": [
                {
                    "id": 42,
                    "at": "2026-01-31T09:00:00Z",
                    "user_id": _USER_ID,
                    "event": "key_made",
                    "facts": {"key_id": "key_01k9zq3v5m8r2t4w6y8a0c2e4g"},
                }
            ],
            "next_cursor": None,
        }
    },
}
"""By operation and media type: the answer when all goes well."""


def add_examples(description: dict[str, Any]) -> None:
    """Put the examples into an OpenAPI description, wherever it has none of its own."""
    for path, methods in description["paths"].items():
        for operation in methods.values():
            name = operation["operationId"]
            for parameter in operation.get("parameters", []):
                _add_parameter(path, parameter)
            for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
                _add_body(name, media_type, content)
            _add_answers(name, operation["responses"])


def _add_parameter(path: str, parameter: dict[str, Any]) -> None:
    own = {"example", "examples"} & {*parameter, *parameter["schema"]}
    name = parameter["name"]
    value = RESULT_NAME if name == "name" and "/results/" in path else PARAMETERS.get(name)
    if value and not own:
        parameter["example"] = value


def _add_body(name: str, media_type: str, content: dict[str, Any]) -> None:
    schema = content["schema"]
    if media_type == "multipart/form-data" and name in FORMS:
        content["example"] = dict(FORMS[name])
    elif media_type == "application/json":
        example = schema.get("example", BODIES.get(name))
        if example is not None:
            content["example"] = example
    elif media_type == "application/offset+octet-stream":
        content["example"] = "(the bytes of the part)"


def _add_answers(name: str, responses: dict[str, Any]) -> None:
    for status, response in responses.items():
        if status.startswith("2"):
            for media_type, content in response.get("content", {}).items():
                example = ANSWERS.get(name, {}).get(media_type)
                if example is not None:
                    content["example"] = example
