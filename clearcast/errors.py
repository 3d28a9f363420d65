"""Every error ClearCast raises on purpose, in one tree.

What lives here: the error classes, each with a stable `code`, the HTTP status it becomes, and whether
the same request may succeed later. What does not: the translation to HTTP (`deployments/ingress`) and to
exit codes (`clearcast/cli`).

ClearCastError
├── InputError                what the caller sent cannot be used
│   ├── AudioEmpty            no bytes, or no sound in them
│   ├── AudioUnrecognised     not audio or video that we can decode
│   ├── AudioTruncated        cut off before any sound could be read
│   ├── AudioForbidden        a playlist, or a file that refers to other files or addresses
│   ├── AudioTooLong          more decoded seconds than allowed
│   ├── UploadTooLarge        more bytes than allowed
│   ├── DecodeLimitExceeded   decoding needed more time or memory than allowed
│   ├── OptionInvalid         an option has a wrong name or value
│   ├── LanguageUnsupported   the chosen engine does not speak this language
│   ├── SpeechTooShort        not enough speech to make a voiceprint
│   ├── FileFormatInvalid     a transcript, RTTM or voices file that does not follow its format
│   ├── EmbeddingMismatch     voiceprints of different models were compared
│   ├── TooQuiet              speech that is too quiet to know its speaker by
│   ├── SeveralSpeakers       two people where one voice is to be learned
│   ├── SpeakerAbsent         the person who is looked for does not speak in the recording
│   ├── SeparationNeedsStereo  the sound has not the channels that it could be taken apart by
│   ├── TrainingSetUnusable   the recordings to learn keywords from are too few, or no folders of words
│   ├── RequestMalformed      a request whose body or headers do not follow their format
│   ├── MethodNotAllowed      the address exists, but not for this HTTP method
│   ├── UploadStalled         the upload stopped half-way
│   ├── UploadOffsetWrong     a part does not begin where the last one ended
│   ├── UploadPartTooLarge    one part of an upload is larger than a part may be
│   ├── UploadBusy            another part of the same upload is arriving
│   ├── TusVersionWrong       the client speaks another version of tus than 1.0.0
│   ├── ContentTypeWrong      the body is of a type that the address does not take
│   ├── AnswerTypeUnknown     the answer is wanted in a type that there is not
│   ├── SdpRefused            a session description that is none, or cannot be answered
│   ├── MessageMalformed      a message of a live connection that is none, or too long
│   ├── RangeWrong            the file has no such bytes
│   ├── ChecksumMismatch      the bytes that arrived are not those that were sent
│   └── QuotaExceeded         the caller keeps as much as is allowed
├── AccessError
│   ├── Unauthenticated       no key, or an unknown one
│   ├── LogInFailed           the name or the password is wrong
│   ├── AccountLocked         too many wrong passwords: come back later
│   ├── Forbidden             known, but not allowed
│   ├── RoomPasswordWrong     the room asks for a password, and it is not this one
│   └── RoomLocked            nobody new comes into the room for now
├── NotFound                  no such thing, or it is somebody else's
├── Conflict                  a thing of that name is there already
├── RoomEnded                 the room is a memory: nobody comes in any more
├── JobUnfinished             the job has no such result yet, or cannot be changed while it runs
├── PipelineMissing           this server cannot do that kind of job
├── SettingsInvalid           the profile or the environment is wrong
├── ModelError
│   ├── EngineUnknown         no engine of that name
│   ├── ModelMissing          its files are not on this machine
│   ├── ModelGated            its owner asks for a token or for terms to be accepted
│   ├── ModelDownloadFailed   the hub did not answer, or stopped half-way
│   └── ModelCorrupt          its files are not what they should be
├── LiveError
│   ├── OpusRefused           libopus took neither this packet nor these settings
│   ├── PacketTapBroken       aiortc is of another version than the live rooms know
│   ├── RoomElsewhere         the room lives on another node
│   ├── TrickleUnsupported    candidates one by one are not taken: all are in the answer
│   └── SubscriberBehind      messages of a topic were missed: read its history, then subscribe anew
└── ServiceError              retryable
    ├── Overloaded            the queue is full: come back after `retry_after_s`
    ├── RateLimited           too many requests from one caller
    ├── ServiceTimeout        no answer in time
    ├── ServiceUnavailable    the replica died and retries were used up, or none is running
    ├── StorageFull           no room is left on the disk
    └── Cancelled             stopped on request
"""

from __future__ import annotations

from typing import Any, ClassVar


class ClearCastError(Exception):
    """Base of the tree.

    Attributes:
        code: stable machine-readable name, part of the API.
        http_status: status used when the error reaches HTTP.
        retryable: True when the same request may succeed later.
        hint: what the user can do next, or None.
        fields: further facts for the problem document, JSON-serialisable.
    """

    code: ClassVar[str] = "internal_error"
    http_status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False
    title: ClassVar[str] = "Something went wrong inside ClearCast"

    def __init__(self, message: str, *, hint: str | None = None, **fields: Any) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.fields = fields

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions cross process borders (Ray, multiprocessing); keyword arguments must come along.
        return _rebuild, (type(self), self.message, self.hint, self.fields)

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message} {self.hint}"


def _rebuild(
    kind: type[ClearCastError], message: str, hint: str | None, fields: dict[str, Any]
) -> ClearCastError:
    return kind(message, hint=hint, **fields)


class InputError(ClearCastError):
    code = "input_invalid"
    http_status = 422
    title = "The input cannot be used"


class AudioEmpty(InputError):
    code = "audio_empty"
    title = "The file holds no sound"


class AudioUnrecognised(InputError):
    code = "audio_unrecognised"
    http_status = 415
    title = "Not an audio or video file that can be decoded"


class AudioTruncated(InputError):
    code = "audio_truncated"
    title = "The file is cut off"


class AudioForbidden(InputError):
    code = "audio_forbidden"
    title = "The file refers to other files or addresses"


class AudioTooLong(InputError):
    code = "audio_too_long"
    http_status = 413
    title = "The recording is longer than allowed"


class UploadTooLarge(InputError):
    code = "upload_too_large"
    http_status = 413
    title = "The upload is larger than allowed"


class DecodeLimitExceeded(InputError):
    code = "decode_limit_exceeded"
    title = "Decoding needed more time or memory than allowed"


class OptionInvalid(InputError):
    code = "option_invalid"
    title = "An option is wrong"


class LanguageUnsupported(InputError):
    code = "language_unsupported"
    title = "The engine does not know this language"


class SpeechTooShort(InputError):
    code = "speech_too_short"
    title = "Not enough speech"


class FileFormatInvalid(InputError):
    code = "file_format_invalid"
    title = "The file does not follow its format"


class EmbeddingMismatch(InputError):
    code = "embedding_mismatch"
    title = "Voiceprints of different models cannot be compared"


class SpeakerAbsent(InputError):
    code = "speaker_absent"
    title = "That person does not speak in this recording"


class TooQuiet(InputError):
    code = "too_quiet"
    title = "The voice is too quiet"


class SeveralSpeakers(InputError):
    code = "several_speakers"
    title = "More than one person speaks"


class SeparationNeedsStereo(InputError):
    code = "separation_needs_stereo"
    title = "This sound cannot be taken apart"


class TrainingSetUnusable(InputError):
    code = "training_set_unusable"
    title = "No model can be trained on these recordings"


class RequestMalformed(InputError):
    code = "request_malformed"
    http_status = 400
    title = "The request cannot be read"


class MethodNotAllowed(InputError):
    code = "method_not_allowed"
    http_status = 405
    title = "The address does not know this method"


class UploadStalled(InputError):
    code = "upload_stalled"
    http_status = 408
    retryable = True
    title = "The upload stopped half-way"


class UploadOffsetWrong(InputError):
    code = "upload_offset_wrong"
    http_status = 409
    title = "The part does not begin where the last one ended"


class UploadPartTooLarge(InputError):
    code = "upload_part_too_large"
    http_status = 413
    title = "The part is larger than a part may be"


class UploadBusy(InputError):
    code = "upload_busy"
    http_status = 423
    retryable = True
    title = "Another part of this upload is arriving"


class TusVersionWrong(InputError):
    code = "tus_version_wrong"
    http_status = 412
    title = "The version of tus is not spoken here"


class ContentTypeWrong(InputError):
    code = "content_type_wrong"
    http_status = 415
    title = "The body is of another type"


class AnswerTypeUnknown(InputError):
    code = "answer_type_unknown"
    http_status = 406
    title = "The answer is not made in that type"


class SdpRefused(InputError):
    code = "sdp_refused"
    title = "The session description cannot be answered"


class MessageMalformed(InputError):
    code = "message_malformed"
    http_status = 400
    title = "The message cannot be read"


class RangeWrong(InputError):
    code = "range_wrong"
    http_status = 416
    title = "The file has no such bytes"


class ChecksumMismatch(InputError):
    code = "checksum_mismatch"
    http_status = 460  # as tus has it: https://tus.io/protocols/resumable-upload, "Checksum"
    title = "The bytes changed on their way"


class QuotaExceeded(InputError):
    code = "quota_exceeded"
    http_status = 413
    title = "No room is left in your quota"


class AccessError(ClearCastError):
    code = "access_denied"
    http_status = 403
    title = "Access denied"


class Unauthenticated(AccessError):
    code = "unauthenticated"
    http_status = 401
    title = "An API key is needed"


class LogInFailed(AccessError):
    code = "log_in_failed"
    http_status = 401
    title = "The name or the password is wrong"


class AccountLocked(AccessError):
    code = "account_locked"
    http_status = 429
    retryable = True
    title = "Too many wrong passwords"


class Forbidden(AccessError):
    code = "forbidden"
    title = "Not allowed"


class RoomPasswordWrong(AccessError):
    code = "room_password_wrong"
    title = "The room asks for its password"


class RoomLocked(AccessError):
    code = "room_locked"
    http_status = 423  # RFC 4918 §11.3
    retryable = True
    title = "The room is locked"


class NotFound(ClearCastError):
    code = "not_found"
    http_status = 404
    title = "Not found"


class Conflict(ClearCastError):
    code = "conflict"
    http_status = 409
    title = "It exists already"


class RoomEnded(ClearCastError):
    code = "room_ended"
    http_status = 410
    title = "The room has ended"


class JobUnfinished(ClearCastError):
    code = "job_unfinished"
    http_status = 409
    title = "The job is not there yet"


class PipelineMissing(ClearCastError):
    code = "pipeline_missing"
    http_status = 501
    title = "This server cannot do that kind of job"


class SettingsInvalid(ClearCastError):
    code = "settings_invalid"
    title = "The settings are wrong"


class ModelError(ClearCastError):
    code = "model_error"
    http_status = 503
    title = "A model cannot be used"


class EngineUnknown(ModelError):
    code = "engine_unknown"
    title = "There is no such engine"


class ModelMissing(ModelError):
    code = "model_missing"
    title = "A model is not on this machine"


class ModelGated(ModelError):
    code = "model_gated"
    title = "The model's owner asks for a token"


class ModelDownloadFailed(ModelError):
    code = "model_download_failed"
    title = "A model could not be downloaded"


class ModelCorrupt(ModelError):
    code = "model_corrupt"
    title = "A model's files are damaged"


class LiveError(ClearCastError):
    code = "live_error"
    title = "Live sound could not be handled"


class OpusRefused(LiveError):
    code = "opus_refused"
    title = "Sound could not be encoded or decoded"


class PacketTapBroken(LiveError):
    code = "packet_tap_broken"
    title = "This version of aiortc is not known"


class RoomElsewhere(LiveError):
    """`url` is the base address of the node's gateway."""

    code = "room_elsewhere"
    http_status = 307
    retryable = True
    title = "The room lives on another node"

    def __init__(self, message: str, *, url: str = "", hint: str | None = None, **fields: Any) -> None:
        super().__init__(message, hint=hint, url=url, **fields)
        self.url = url


class TrickleUnsupported(LiveError):
    code = "trickle_unsupported"
    http_status = 501
    title = "Candidates are not taken one by one"


class SubscriberBehind(LiveError):
    code = "subscriber_behind"
    http_status = 503
    retryable = True
    title = "Messages were missed"


class ServiceError(ClearCastError):
    code = "service_error"
    http_status = 503
    retryable = True
    title = "A service could not do the work"


class Overloaded(ServiceError):
    """The bounded queue is full. `retry_after_s` is sent as Retry-After (RFC 9110 §10.2.3)."""

    code = "overloaded"
    title = "Too much work at the moment"

    def __init__(
        self, message: str, *, retry_after_s: int = 5, hint: str | None = None, **fields: Any
    ) -> None:
        super().__init__(message, hint=hint, retry_after_s=retry_after_s, **fields)
        self.retry_after_s = retry_after_s


class RateLimited(Overloaded):
    code = "rate_limited"
    http_status = 429
    title = "Too many requests"


class ServiceTimeout(ServiceError):
    code = "service_timeout"
    http_status = 504
    title = "No answer in time"


class ServiceUnavailable(ServiceError):
    code = "service_unavailable"
    title = "A service is not running"


class StorageFull(ServiceError):
    code = "storage_full"
    http_status = 507
    title = "No room is left on the disk"


class Cancelled(ServiceError):
    code = "cancelled"
    http_status = 499  # the client closed the request
    retryable = False
    title = "Stopped on request"
