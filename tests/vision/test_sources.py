import pytest

from danzar.config.bot import WatchSettings
from danzar.errors import BadInput, BadUrl, BadVideo
from danzar.vision.sources import resolve_source, source_label


@pytest.fixture
def root(tmp_path):
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "a.mp4").write_bytes(b"video")
    (tmp_path / "clips" / "deeper").mkdir()
    (tmp_path / "secret.mp4").write_bytes(b"secret")
    (tmp_path / "clips-private").mkdir()
    (tmp_path / "clips-private" / "b.mp4").write_bytes(b"secret")
    return tmp_path


SETTINGS = WatchSettings(
    sources={
        "mine": "secret.mp4",
        "cam": "rtsp://me:geheim@192.168.1.20/live",
        "gone": "nothing.mp4",
        "desk": "screen:1",
    },
    allow_folders=("clips",),
    allow_hosts=("cam.example.org",),
)


async def lookup(host, port):
    return ["93.184.216.34"]


async def resolved(text, root, settings=SETTINGS):
    return await resolve_source(text, settings, root, processing_fps=2.0, lookup=lookup)


async def test_what_the_owner_named_is_trusted(root):
    capture = await resolved("mine", root)
    assert (capture.kind, capture.target) == ("file", str(root / "secret.mp4"))
    assert capture.processing_fps == 2.0
    capture = await resolved("cam", root)
    assert (capture.kind, capture.target) == ("stream", "rtsp://me:geheim@192.168.1.20/live")
    assert (await resolved("desk", root)).kind == "screen"


async def test_a_named_file_that_is_gone_is_told(root):
    with pytest.raises(BadVideo, match=r"nothing\.mp4"):
        await resolved("gone", root)


async def test_files_and_folders_in_allowed_folders_are_open(root):
    assert (await resolved("a.mp4", root)).target == str(root / "clips" / "a.mp4")
    assert (await resolved(str(root / "clips" / "a.mp4"), root)).kind == "file"
    assert (await resolved("deeper", root)).kind == "folder"


@pytest.mark.parametrize(
    "text",
    [
        "../secret.mp4",
        "deeper/../../secret.mp4",
        "../clips-private/b.mp4",
        "/etc/passwd",
        "..",
        "nothing.mp4",
        "a.mp4\0.txt",
        "~/x.mp4",
    ],
)
async def test_what_lies_outside_is_refused_like_what_is_not_there(root, text):
    with pytest.raises(BadVideo, match="not a file in a folder that may be watched"):
        await resolved(text, root)


async def test_a_link_out_of_the_folder_is_refused(root):
    try:
        (root / "clips" / "link.mp4").symlink_to(root / "secret.mp4")
        (root / "clips" / "up").symlink_to(root)
    except OSError:
        pytest.skip("this system makes no links")
    for text in ("link.mp4", "up/secret.mp4"):
        with pytest.raises(BadVideo):
            await resolved(text, root)


async def test_no_file_may_be_named_when_no_folder_is_allowed(root):
    with pytest.raises(BadVideo):
        await resolved(str(root / "clips" / "a.mp4"), root, WatchSettings())


@pytest.mark.parametrize(
    ("text", "kind", "target"), [("screen:1", "screen", "1"), ("camera:0", "camera", "0")]
)
async def test_screens_and_cameras_are_numbered(root, text, kind, target):
    capture = await resolved(text, root)
    assert (capture.kind, capture.target) == (kind, target)


@pytest.mark.parametrize(
    "text", ["screen:", "screen:x", "camera:-1", "screen:1;rm", "camera:\u0661"]
)
async def test_a_device_that_is_no_number_is_refused(root, text):
    with pytest.raises(BadInput):
        await resolved(text, root)


@pytest.mark.parametrize("text", ["", "   ", "x" * 3000])
async def test_nothing_and_too_much_are_refused_with_the_names_that_exist(root, text):
    with pytest.raises(BadInput, match="cam, desk, gone, mine"):
        await resolved(text, root)


async def test_an_address_from_a_person_is_checked(root):
    capture = await resolved("rtsp://cam.example.org/live", root)
    assert (capture.kind, capture.target) == ("stream", "rtsp://93.184.216.34:554/live")
    with pytest.raises(BadUrl):
        await resolved("rtsp://192.168.1.20/live", root)
    with pytest.raises(BadUrl):
        await resolved("FILE:///etc/passwd", root)


def test_the_label_has_no_credentials():
    assert source_label("cam", SETTINGS) == "cam"
    assert (
        source_label("rtsp://me:geheim@cam.example.org/a", SETTINGS) == "rtsp://cam.example.org/a"
    )
