"""What a worker may be asked, what it answers, and what a backend must offer.

The one module that both sides of the process boundary share. It imports no model library.
Pictures cross the boundary as ``Picture``; boxes are ``(x1, y1, x2, y2)`` in pixels of the picture
that was sent.
"""

from collections.abc import Callable, Iterator
from typing import Any, Literal, Protocol, runtime_checkable

import msgspec

from danzar.workers.chart import DrawChart, DrawnChart

Box = tuple[float, float, float, float]


class Struct(msgspec.Struct, frozen=True):
    """Base of all messages' parts: immutable once made."""


class Picture(Struct, frozen=True):
    """One picture. ``rgb`` is rows of 8-bit R, G, B without padding; else an encoded file."""

    width: int
    height: int
    encoding: Literal["rgb", "jpeg", "png"]
    data: bytes


# --- what is asked -------------------------------------------------------------------------


class ChatMessage(Struct, frozen=True):
    """One turn as the chat template sees it."""

    role: Literal["system", "user", "assistant"]
    content: str


class Generate(Struct, frozen=True, tag="generate"):
    """Continue a conversation; answered by ``TextDelta`` parts and one ``Generated``.

    Attributes:
        repeat_penalty: Above 1 makes the last tokens less likely; small models loop without it.
        conversation: Whose turn it is (a channel, say): what the model computed for its earlier
            turns is kept for the next one. ``None`` keeps nothing on purpose.
        presence_penalty: Lowers the odds of each of the last tokens by so much, -2 to 2.
        frequency_penalty: The same, times how often it is among them.
        raw: Go on with the one message's text as it stands, outside of any chat template.
    """

    messages: tuple[ChatMessage, ...]
    max_tokens: int = 512
    temperature: float = 0.7
    top_p: float = 0.95
    repeat_penalty: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    conversation: str | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    raw: bool = False


class CountTokens(Struct, frozen=True, tag="count_tokens"):
    """Token counts of texts, answered by ``TokenCounts``."""

    texts: tuple[str, ...]


class Detect(Struct, frozen=True, tag="detect"):
    """Find objects in a batch of pictures; answered by ``DetectedBatch``.

    Attributes:
        at_once: Pictures that may be computed at once; ``None`` goes by the model's settings.
    """

    pictures: tuple[Picture, ...]
    confidence: float = 0.5
    classes: tuple[str, ...] = ()
    at_once: int | None = None


class Rank(Struct, frozen=True, tag="rank"):
    """Score each picture against concepts; answered by ``RankedBatch``.

    Attributes:
        at_once: Pictures that may be computed at once; ``None`` goes by the model's settings.
    """

    pictures: tuple[Picture, ...]
    concepts: tuple[str, ...]
    at_once: int | None = None


class MeasureBatch(Struct, frozen=True, tag="measure_batch"):
    """Compute blank pictures, to learn what so many at once take; answered by ``MeasuredBatch``."""

    batch: int


class ReadText(Struct, frozen=True, tag="read_text"):
    """Read the text in a batch of pictures; answered by ``TextBatch``.

    Attributes:
        regions: Parts of each picture to read, as fractions 0 to 1 of its width and height;
            empty means the whole picture.
    """

    pictures: tuple[Picture, ...]
    regions: tuple[Box, ...] = ()


class DecodePicture(Struct, frozen=True, tag="decode_picture"):
    """Turn an untrusted file into an upright 8-bit RGB picture; answered by ``DecodedPicture``."""

    data: bytes
    max_pixels: int
    max_side: int


class BoxLabel(Struct, frozen=True):
    """One box to draw and what to write on it."""

    box: Box
    text: str
    label: str


class Annotate(Struct, frozen=True, tag="annotate"):
    """Draw boxes on a picture; answered by ``AnnotatedPicture``."""

    picture: Picture
    boxes: tuple[BoxLabel, ...]


class Capture(Struct, frozen=True, tag="capture"):
    """Read frames from a source until it ends or the request is cancelled.

    Answered by ``Frame`` parts and one ``CaptureEnded``.

    Attributes:
        kind: ``file`` video, ``folder`` of pictures, ``stream`` URL, ``screen`` or ``camera``.
        target: Path, address, monitor number or camera number.
        processing_fps: Frames handed over per second, at most.
        loop: Start a file or folder again at its end.
        max_side: Longer side of a handed-over frame, in pixels.
        real_time: Pace a file by its own clock; ``False`` reads as fast as it is consumed.
    """

    kind: Literal["file", "folder", "stream", "screen", "camera"]
    target: str
    processing_fps: float
    loop: bool = False
    max_side: int = 1280
    real_time: bool = True


class EmbedTexts(Struct, frozen=True, tag="embed_texts"):
    """Vectors of texts, in the space that pictures share; answered by ``Embeddings``."""

    texts: tuple[str, ...]


class EmbedPictures(Struct, frozen=True, tag="embed_pictures"):
    """Vectors of pictures, in the space that texts share; answered by ``Embeddings``."""

    pictures: tuple[Picture, ...]


class GenerateImages(Struct, frozen=True, tag="generate_images"):
    """Make pictures from words; answered by ``StepDone`` parts and one ``GeneratedImages``.

    Attributes:
        width: Pixels, like ``height``; the model may demand a multiple of 8.
        steps: Of denoising; ``None``: as the model is configured.
        guidance: How closely it keeps to the prompt; ``None``: as the model is configured.
        seed: The same one gives the same picture; ``None`` takes one by chance and tells it.
        count: Pictures, made one after another with the seeds seed, seed + 1, ...
        preview_every: A small picture of how it stands with every so many steps; 0: none.
    """

    prompt: str
    negative_prompt: str = ""
    width: int = 512
    height: int = 512
    steps: int | None = None
    guidance: float | None = None
    seed: int | None = None
    count: int = 1
    preview_every: int = 0


class GenerateVideo(Struct, frozen=True, tag="generate_video"):
    """Make a video from words; answered by ``StepDone`` parts and one ``GeneratedVideo``.

    Attributes:
        steps: As in ``GenerateImages``, like ``guidance`` and ``seed``.
    """

    prompt: str
    negative_prompt: str = ""
    width: int = 832
    height: int = 480
    frames: int = 33
    fps: int = 16
    steps: int | None = None
    guidance: float | None = None
    seed: int | None = None


Request = (
    Generate
    | CountTokens
    | Detect
    | Rank
    | ReadText
    | DecodePicture
    | Annotate
    | Capture
    | DrawChart
    | MeasureBatch
    | EmbedTexts
    | EmbedPictures
    | GenerateImages
    | GenerateVideo
)

# --- what is answered ----------------------------------------------------------------------


class TextDelta(Struct, frozen=True, tag="text_delta"):
    """The next piece of a streamed text."""

    text: str


class Frame(Struct, frozen=True, tag="frame"):
    """One frame of a source; ``at_s`` is seconds since its start."""

    picture: Picture
    at_s: float
    number: int


class StepDone(Struct, frozen=True, tag="step_done"):
    """A step of denoising is done; ``step`` counts from 1 to ``steps`` over all pictures."""

    step: int
    steps: int
    preview: Picture | None = None


Part = TextDelta | Frame | StepDone


class Generated(Struct, frozen=True, tag="generated"):
    """How a generation ended.

    Attributes:
        reused_tokens: How many of the prompt's tokens were known from earlier requests, and so were
            not computed again.
    """

    finish_reason: Literal["stop", "length", "cancelled"]
    prompt_tokens: int
    completion_tokens: int
    reused_tokens: int = 0


class TokenCounts(Struct, frozen=True, tag="token_counts"):
    """One count per text."""

    counts: tuple[int, ...]


class BatchWork(Struct, frozen=True):
    """What one batch took. ``None`` is unknown: another model computed at the same time.

    Attributes:
        batch: Pictures that were computed at once.
        pixels: Of each picture, after it was scaled for the model.
        activation_bytes: Memory beyond the weights, at its peak.
    """

    batch: int
    pixels: int
    seconds: float | None
    activation_bytes: int | None


class MeasuredBatch(Struct, frozen=True, tag="measured_batch"):
    """What the batch took that was asked for."""

    work: BatchWork


class DetectedObject(Struct, frozen=True):
    """One box with its label; confidence 0 to 1."""

    label: str
    confidence: float
    box: Box


class DetectedBatch(Struct, frozen=True, tag="detected"):
    """Objects per picture, best first; ``work`` has what each batch took."""

    pictures: tuple[tuple[DetectedObject, ...], ...]
    work: tuple[BatchWork, ...] = ()


class RankedConcept(Struct, frozen=True):
    """One concept and how well it fits, 0 to 1; a picture's scores add up to 1."""

    concept: str
    score: float


class RankedBatch(Struct, frozen=True, tag="ranked"):
    """Concepts per picture, best first; ``work`` has what each batch took."""

    pictures: tuple[tuple[RankedConcept, ...], ...]
    work: tuple[BatchWork, ...] = ()


class ReadLine(Struct, frozen=True):
    """One line of text; confidence 0 to 1."""

    text: str
    confidence: float
    box: Box


class TextBatch(Struct, frozen=True, tag="text"):
    """Lines per picture, top to bottom."""

    pictures: tuple[tuple[ReadLine, ...], ...]


class DecodedPicture(Struct, frozen=True, tag="decoded"):
    """An upright RGB picture, and the size it had before it was scaled down."""

    picture: Picture
    original_width: int
    original_height: int
    frames: int


class AnnotatedPicture(Struct, frozen=True, tag="annotated"):
    """The picture with boxes, as a JPEG file."""

    picture: Picture


class CaptureEnded(Struct, frozen=True, tag="capture_ended"):
    """Why no more frames come: ``end``, ``cancelled`` or what broke."""

    reason: str
    frames: int


class Embeddings(Struct, frozen=True, tag="embeddings"):
    """One vector of length 1 for each text or picture.

    Attributes:
        tokens: Of the texts together, with the marks at their beginning and end.
    """

    vectors: tuple[tuple[float, ...], ...]
    tokens: int = 0


class GeneratedImages(Struct, frozen=True, tag="generated_images"):
    """Pictures as PNG files, without those that a cancellation left undone; the first's seed."""

    pictures: tuple[Picture, ...]
    seed: int
    finish_reason: Literal["stop", "cancelled"] = "stop"


class GeneratedVideo(Struct, frozen=True, tag="generated_video"):
    """A video as an MP4 file (H.264); empty where it was cancelled."""

    data: bytes
    width: int
    height: int
    frames: int
    fps: int
    seed: int
    finish_reason: Literal["stop", "cancelled"] = "stop"


Result = (
    Generated
    | TokenCounts
    | DetectedBatch
    | RankedBatch
    | TextBatch
    | DecodedPicture
    | AnnotatedPicture
    | CaptureEnded
    | DrawnChart
    | MeasuredBatch
    | Embeddings
    | GeneratedImages
    | GeneratedVideo
)

# --- what a worker hosts -------------------------------------------------------------------


class WarmCopy(Struct, frozen=True):
    """A model as a worker left it in host RAM.

    Attributes:
        address: Where it is, as ``danzar.workers.segment`` opens it.
        seal: SHA-256, in hex, of the part that says what the weights belong to.
    """

    address: str
    size_bytes: int
    seal: str


class LoadSpec(Struct, frozen=True):
    """Everything a backend needs in order to load one model.

    Attributes:
        name: The model's name in ``models.yaml``.
        backend: Key of ``BACKENDS``.
        path: File or folder with the weights; ``None`` where the backend ships its own.
        torch_device: ``cuda:0`` or ``cpu`` as the *worker* sees devices: a worker is started with
            only its own cards visible, so its (first) card is always ``cuda:0``.
        gpu_layers: Layers that a GGUF model puts on its cards; -1 is all of them.
        layer_split: How many layers each visible card gets, in their order; empty is one card.
        slots: Requests that the worker may run at once on this model, each in a thread of its own;
            above 1 only for backends whose ``run`` is thread-safe (media, and llama, which
            computes them together).
        settings: The backend's own settings, validated by the backend.
        checksum: SHA-256 of the weights file, as it was verified; empty where there is none.
        warm: A copy in host RAM that may be taken instead of reading the file; ``None``: there is
            none. Backends that can't use one ignore it.
    """

    name: str
    backend: str
    path: str | None
    torch_device: str = "cpu"
    gpu_layers: int = 0
    layer_split: tuple[int, ...] = ()
    slots: int = 1
    settings: dict[str, Any] = {}
    checksum: str = ""
    warm: WarmCopy | None = None


class LoadReport(Struct, frozen=True):
    """What loading took.

    Attributes:
        weights_bytes: Bytes of the weights as the backend counts them; ``None`` where unknown.
        details: Figures worth a line in the log (context, labels, parameters).
        warm: The warm copy was taken, and the file was not read.
    """

    weights_bytes: int | None = None
    details: dict[str, str] = {}
    warm: bool = False


class Backend(Protocol):
    """One loaded model, made by ``load``; used by at most ``LoadSpec.slots`` threads at once."""

    def run(self, request: Request, is_cancelled: Callable[[], bool]) -> Iterator[Part | Result]:
        """Answer one request: any number of parts, then exactly one result.

        Blocks. Must look at ``is_cancelled`` at least every 50 ms of computing where the library
        allows it, and then end with its result.

        Raises:
            danzar.errors.BadInput: The request's content can't be used.
            danzar.errors.OutOfMemory: The device is full.
        """
        ...

    def close(self) -> None:
        """Give back what the model holds. The worker may go on with other models."""
        ...


@runtime_checkable
class Freezable(Backend, Protocol):
    """A backend whose model can be kept warm in host RAM."""

    def freeze(self, address: str, limit_bytes: int) -> WarmCopy:
        """Leave a copy of the model at the address, as ``LoadSpec.warm`` brings it back.

        Called between two requests, by the thread that runs them. Blocks.

        Raises:
            danzar.errors.BackendFailed: It would take more than ``limit_bytes``, there is no
                memory, or the model has parts that can't be kept.
        """
        ...


@runtime_checkable
class Caching(Backend, Protocol):
    """A backend that keeps what it computed in host RAM for requests that may come."""

    @property
    def cached_bytes(self) -> int:
        """What all of that takes now. For any thread."""
        ...


class LoadBackend(Protocol):
    """The signature of each backend module's ``load`` function."""

    def __call__(self, spec: LoadSpec) -> tuple[Backend, LoadReport]:
        """Load the model, or raise ``ModelError`` or ``OutOfMemory``."""
        ...


# Where each backend's ``load`` is; imported in the worker process only. Backends of one engine
# share a process (and so one CUDA context) on a device.
BACKENDS: dict[str, str] = {
    "llama": "danzar.backends.llama:load",
    "yolo": "danzar.backends.yolo:load",
    "clip": "danzar.backends.clip:load",
    "ocr": "danzar.backends.ocr:load",
    "media": "danzar.backends.media:load",
    "echo": "danzar.backends.echo:load",
    "diffusion": "danzar.backends.diffusion:load",
}
ENGINES: dict[str, str] = {
    "llama": "llama",
    "yolo": "torch",
    "clip": "torch",
    "ocr": "onnx",
    "media": "media",
    "echo": "echo",
    "diffusion": "diffusion",
}
