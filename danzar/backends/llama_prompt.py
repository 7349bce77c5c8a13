"""Prompts in a model's own chat template, in which a person's text can't act as control tokens."""

import re
from typing import Final

from llama_cpp.llama_chat_format import Jinja2ChatFormatter

from danzar.backends.llama_native import NativeModel
from danzar.errors import BadInput
from danzar.workers.contract import ChatMessage

# Put into a control token's text so that it no longer is one; invisible to people.
_BREAK: Final = "\u200b"
# For the few files without a template: what most small chat models were trained on.
_FALLBACK: Final = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


class PromptWriter:
    """Renders conversations for one model.

    Attributes:
        origin: Where the template is from, for the log.
    """

    def __init__(
        self, formatter: Jinja2ChatFormatter, control: re.Pattern[str], origin: str
    ) -> None:
        self._formatter = formatter
        self._control = control
        self.origin = origin

    @classmethod
    def of(cls, native: NativeModel) -> "PromptWriter":
        """The writer for a loaded model."""
        template = native.metadata("tokenizer.chat_template")
        formatter = Jinja2ChatFormatter(
            template=template or _FALLBACK,
            eos_token=native.token_text(native.eos_token),
            bos_token=native.token_text(native.bos_token),
        )
        origin = "fallback (ChatML)" if template is None else "the file's own"
        return cls(formatter, control_pattern(native.control_tokens()), origin)

    def write(self, messages: tuple[ChatMessage, ...]) -> tuple[str, bool]:
        """The prompt, and whether the tokenizer must still add its beginning-of-text token.

        Raises:
            BadInput: The template refuses this order of roles.
        """
        turns = [
            {"role": m.role, "content": neutralise(m.content, self._control)} for m in messages
        ]
        try:
            prompt = self._formatter(messages=turns).prompt  # type: ignore[arg-type]
        except ValueError as exc:
            prompt = self._write_merged(turns, exc)
        return prompt, not prompt.startswith(self._formatter.bos_token or "\0")

    def _write_merged(self, turns: list[dict[str, str]], error: ValueError) -> str:
        """Some templates know no system role: then the first question carries its text."""
        if len(turns) < 2 or turns[0]["role"] != "system":  # noqa: PLR2004
            raise BadInput(
                f"The model's chat template refuses the conversation: {error}"
            ) from error
        merged = f"{turns[0]['content']}\n\n{turns[1]['content']}"
        rest = [{"role": turns[1]["role"], "content": merged}, *turns[2:]]
        try:
            return self._formatter(messages=rest).prompt  # type: ignore[arg-type]
        except ValueError as exc:
            raise BadInput(f"The model's chat template refuses the conversation: {exc}") from exc


def neutralise(text: str, control: re.Pattern[str]) -> str:
    """The text with each control token's spelling broken: it reads the same but does nothing."""
    return control.sub(lambda found: found[0][:1] + _BREAK + found[0][1:], text)


def control_pattern(tokens: list[str]) -> re.Pattern[str]:
    """A pattern for any of the spellings; the longest first."""
    spellings = sorted((token for token in tokens if token.strip()), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, spellings)) or r"(?!)")
