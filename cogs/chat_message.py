"""From a Discord message to a question: names, the quoted message, files."""

import asyncio
import re
from collections.abc import Sequence

import discord

from cogs.reply_outlet import DISCORD_TROUBLE
from cogs.reply_text import FOOTER_MARK, without_footer
from danzar.chat.question import Question, Quote, TextFile
from danzar.chat.text import Names, with_names
from danzar.units import format_size

MAX_TEXT_FILES = 3
_DISCORD_TIMEOUT_S = 20.0
_PICTURE_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif")


def is_picture(attachment: discord.Attachment) -> bool:
    """Whether an attachment claims to be a picture; whether it is one, the decoder tells."""
    claimed = (attachment.content_type or "").startswith("image/")
    return claimed or attachment.filename.lower().endswith(_PICTURE_ENDINGS)


def is_answer(message: discord.Message) -> bool:
    """Whether a message of the bot is an answer, which history knows (an alert is none)."""
    return any(line.startswith(FOOTER_MARK) for line in message.content.splitlines())


async def replied_to(message: discord.Message) -> discord.Message | None:
    """The message that this one replies to; ``None`` where there is none, or it was deleted."""
    reference = message.reference
    if reference is None or message.type is not discord.MessageType.reply:
        return None
    if isinstance(reference.resolved, discord.Message):
        return reference.resolved
    if reference.resolved is not None or reference.message_id is None:
        return None
    try:
        async with asyncio.timeout(_DISCORD_TIMEOUT_S):
            return await message.channel.fetch_message(reference.message_id)
    except DISCORD_TROUBLE:
        return None


def names_in(message: discord.Message) -> Names:
    """The names of everything that a message mentions."""
    guild = message.guild
    return Names(
        users={user.id: user.display_name for user in message.mentions},
        roles={role.id: role.name for role in message.role_mentions},
        channels={
            channel.id: channel.name for channel in (guild.channels if guild is not None else ())
        },
    )


def words_of(message: discord.Message, me: discord.abc.User) -> str:
    """What a message says, with names, without the address to the bot itself."""
    mine = [rf"<@!?{me.id}>", *(rf"<@&{role.id}>" for role in bot_roles(message, me))]
    content = re.sub("|".join(mine), " ", message.content)
    return with_names(content, names_in(message)).strip()


def bot_roles(message: discord.Message, me: discord.abc.User) -> list[discord.Role]:
    """The bot's own role where it is mentioned: people pick it from the list by mistake."""
    return [
        role
        for role in message.role_mentions
        if role.tags is not None and role.tags.bot_id == me.id
    ]


def quote_of(message: discord.Message | None) -> Quote | None:
    """A message as a quotation: its text, or its first embed's."""
    if message is None:
        return None
    text = without_footer(with_names(message.content, names_in(message)))
    if not text and message.embeds:
        embed = message.embeds[0]
        text = "\n".join(filter(None, (embed.title, embed.description)))
    return Quote(message.author.display_name, text) if text else None


async def question_of(
    message: discord.Message,
    me: discord.abc.User,
    replied: discord.Message | None,
    *,
    max_file_bytes: int,
) -> Question:
    """What a message asks, with its text files read."""
    files, notes = await read_text_files(message.attachments, max_file_bytes)
    return Question(
        channel_id=message.channel.id,
        message_id=message.id,
        author=message.author.display_name,
        text=words_of(message, me),
        quote=quote_of(replied),
        files=files,
        notes=notes,
        person=str(message.author.id),
    )


async def read_text_files(
    attachments: Sequence[discord.Attachment], max_bytes: int
) -> tuple[tuple[TextFile, ...], tuple[str, ...]]:
    """The text files among attachments, and one sentence for each that was left out.

    Pictures are skipped silently: they are looked at elsewhere.
    """
    files: list[TextFile] = []
    notes: list[str] = []
    for attachment in attachments:
        if is_picture(attachment):
            continue
        if len(files) == MAX_TEXT_FILES:
            notes.append(f"I read {MAX_TEXT_FILES} files at most; {attachment.filename} is left.")
            continue
        read = await _read_text(attachment, max_bytes)
        if isinstance(read, TextFile):
            files.append(read)
        else:
            notes.append(read)
    return tuple(files), tuple(notes)


async def _read_text(attachment: discord.Attachment, max_bytes: int) -> TextFile | str:
    """The file, or why it is left out."""
    name = attachment.filename
    if attachment.size > max_bytes:
        size, limit = format_size(attachment.size), format_size(max_bytes)
        return f"I left {name} out: it has {size}, and I read {limit} at most."
    try:
        async with asyncio.timeout(_DISCORD_TIMEOUT_S):
            data = await attachment.read()
    except DISCORD_TROUBLE:
        return f"I could not download {name}."
    text = decode_text(data[:max_bytes])
    if text is None:
        return f"I left {name} out: it is neither text nor a picture."
    return TextFile(name, text)


def decode_text(data: bytes) -> str | None:
    """The text in a file's bytes; ``None`` where they are no text. Pure."""
    encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text
