"""Every error that a person may meet, as one small tree.

    DanzarError
    ├── ConfigError            a configuration file is wrong
    ├── TelemetryUnavailable   the driver would not answer
    ├── ModelError
    │   ├── ModelMissing       named nowhere, or its file is absent
    │   └── ModelRefused       wrong checksum, truncated, or not allowed
    ├── CannotPlace            no device has room, even after evictions
    ├── StoreFailed            the database can't be read or written
    ├── QueueFull              too many requests wait already
    ├── Cancelled              the person stopped it
    ├── WorkerError
    │   ├── WorkerStartFailed
    │   ├── WorkerDied
    │   ├── WorkerHung
    │   ├── BackendFailed      the model's own code raised
    │   └── OutOfMemory        a device ran out while loading or running
    └── BadInput
        ├── PromptTooLong      more tokens than the model's context holds
        ├── BadPicture
        ├── BadVideo
        └── BadUrl

Each message says what happened, with which value, and what to do. Messages may be shown in a
channel: they never hold a secret.
"""


class DanzarError(Exception):
    """Base of all errors with a message meant for people."""


class ConfigError(DanzarError):
    """A configuration file does not say what it must."""


class TelemetryUnavailable(DanzarError):
    """The GPU driver is absent, hangs or answered with an error."""


class ModelError(DanzarError):
    """A model can't be used."""


class ModelMissing(ModelError):
    """The model is not in the manifest, or its file is not there."""


class ModelRefused(ModelError):
    """The model's file is damaged, has another checksum, or is not allowed."""


class CannotPlace(DanzarError):
    """No device can take the model, even if everything evictable went."""


class StoreFailed(DanzarError):
    """The database can't be read or written."""


class QueueFull(DanzarError):
    """Too many requests wait for the same model."""


class Cancelled(DanzarError):
    """The request was stopped by a person."""


class WorkerError(DanzarError):
    """A worker process could not do its work."""


class WorkerStartFailed(WorkerError):
    """The process did not become ready in time, or ended at once."""


class WorkerDied(WorkerError):
    """The process ended in the middle of a request."""


class WorkerHung(WorkerError):
    """The process lives but gave no sign of progress within its time."""


class BackendFailed(WorkerError):
    """The model's own code raised an error."""


class OutOfMemory(WorkerError):
    """A device ran out of memory while a model was loading or running."""


class BadInput(DanzarError):
    """What a person sent can't be used."""


class PromptTooLong(BadInput):
    """A text has more tokens than the model can take at once."""


class BadPicture(BadInput):
    """The file is no picture, is damaged, or is larger than allowed."""


class BadVideo(BadInput):
    """The file or stream is no video, or it broke off."""


class BadUrl(BadInput):
    """The address is malformed or not on the owner's allow-list."""


def first_error(error: BaseException) -> BaseException:
    """The error inside groups of errors: the first one with a message for people, if any."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    leaves = [first_error(inner) for inner in error.exceptions]
    return next((leaf for leaf in leaves if isinstance(leaf, DanzarError)), leaves[0])
