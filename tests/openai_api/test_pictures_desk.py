"""What the desk remembers of pictures, without real models."""

import base64
from types import SimpleNamespace

import pytest

from danzar.config.settings import Config
from danzar.errors import BadPicture, ModelError, QueueFull
from danzar.http.api_errors import ApiError
from danzar.http.openai_chat_body import Message
from danzar.http.openai_pictures import PictureDesk
from danzar.vision.observations import Detection, Hud, Observation
from danzar.vision.stages import DETECT


class CountingLooker:
    """Sees an enemy in every picture."""

    def __init__(self, error: Exception | None = None) -> None:
        self.looked: list[bytes] = []
        self.error = error

    async def observe(self, data, asker=None):
        self.looked.append(data)
        if self.error is not None:
            raise self.error
        enemy = Detection("enemy", 0.9, (0, 0, 10, 10))
        seen = Observation(100, 100, (enemy,), (), (), Hud(), "cuda:1", {DETECT: 0.1})
        return SimpleNamespace(observation=seen)


def asking(*pictures: bytes) -> Message:
    parts = [
        {
            "type": "image_url",
            "image_url": {"url": f"data:image/png;base64,{base64.b64encode(data).decode()}"},
        }
        for data in pictures
    ]
    text = {"type": "text", "text": "Any enemy?"}
    return Message.model_validate({"role": "user", "content": [text, *parts]})


ANSWER = Message.model_validate({"role": "assistant", "content": "One."})


async def test_a_picture_that_is_sent_again_is_not_looked_at_again(tmp_path):
    looker = CountingLooker()
    desk = PictureDesk(Config(root=tmp_path), looker)
    first = await desk.look([asking(b"one")], None)
    later = await desk.look([asking(b"one"), ANSWER, asking(b"two")], None)
    assert looker.looked == [b"one", b"two"]
    assert later.facts[0] == first.facts[0]
    assert set(later.facts) == {0, 2}


async def test_what_was_asked_and_measured_is_told_of_the_last_message_only(tmp_path):
    desk = PictureDesk(Config(root=tmp_path), CountingLooker())
    assert "enemy" in (await desk.look([asking(b"one")], None)).measured
    question = Message.model_validate({"role": "user", "content": "Any enemy?"})
    assert (await desk.look([asking(b"one"), ANSWER, question], None)).measured is None


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (BadPicture("it is damaged"), 400, "invalid_image"),
        (ModelError("No vision model could look at the picture."), 503, None),
        (QueueFull("64 pictures wait already"), 429, "queue_full"),
    ],
)
async def test_what_hinders_looking_is_told_as_what_it_is(tmp_path, error, status, code):
    desk = PictureDesk(Config(root=tmp_path), CountingLooker(error))
    with pytest.raises(ApiError) as refused:
        await desk.look([asking(b"one")], None)
    assert refused.value.status == status
    assert code in (None, refused.value.code)
