"""Answer a question with the chat model, and remember both turns."""

import logging
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

from danzar.chat.history import Turn
from danzar.chat.prompt import Prompt, PromptBudget, build_prompt, remembered
from danzar.chat.question import Answered, ChatEvent, Question, Quote, TextFile
from danzar.config.bot import ChatSettings
from danzar.config.profile import Profile
from danzar.core.asker import Asker, RequestClass
from danzar.errors import ModelMissing, StoreFailed
from danzar.inference import Inference, MakeRequest, OnPosition, Outcome, Placed, Progress
from danzar.store import Store, StoredMessage
from danzar.workers.contract import Frame, Generate, Generated, StepDone, TextDelta

__all__ = ["Answered", "ChatEvent", "ChatService", "Question", "Quote", "TextFile"]

log = logging.getLogger(__name__)

# Measured facts are to be repeated, not varied.
FACTS_TEMPERATURE = 0.1
_BOT_NAME = "Danzar"
_KNOWN_BEGINNINGS = 1000


class ChatService:
    """Conversations, one history per channel.

    Any number of answers may run at once: the manager queues them.
    """

    def __init__(
        self,
        inference: Inference,
        store: Store,
        settings: ChatSettings,
        profile: Profile,
        *,
        model: str | None,
        context_tokens: int = 4096,
    ) -> None:
        """Make the service.

        Args:
            inference: Where models are asked.
            store: Where conversations are kept.
            settings: ``chat`` of ``bot_config.yaml``.
            profile: The active game profile.
            model: Name in ``models.yaml``; ``None`` where no chat model is chosen.
            context_tokens: What prompt and answer may take together in the model.
        """
        self._inference = inference
        self._store = store
        self._settings = settings
        self._model = model
        self._persona = "\n".join(filter(None, (settings.persona, profile.persona)))
        answer_tokens = min(settings.max_answer_tokens, context_tokens // 2)
        self._answer_tokens = answer_tokens
        self._budget = PromptBudget(context_tokens - answer_tokens, settings.history_token_budget)
        self._began_with: dict[int, int] = {}

    async def answer(
        self, question: Question, *, on_position: OnPosition | None = None
    ) -> AsyncGenerator[ChatEvent]:
        """Answer, as it comes; close the generator to stop. Ends with ``Answered``.

        ``on_position`` hears the place in the queue, as in ``Inference.stream``. Both turns are
        kept at the end; an answer that is stopped or breaks off is kept as far as it came.

        Raises:
            danzar.errors.DanzarError: With a message for the person who asked.
        """
        turns = await self._turns(question)
        prompts: list[Prompt] = []

        def make(placed: Placed) -> Generate:
            budget = self._budget_in(placed)
            since = self._began_with.get(question.channel_id)
            prompts.append(build_prompt(question, turns, self._persona, budget, since))
            self._note_beginning(question.channel_id, prompts[-1])
            return self._request(prompts[-1], question)

        pieces: list[str] = []
        answered: Answered | None = None
        try:
            async with aclosing(self._ask(make, question.person, on_position)) as stream:
                async for progress in stream:
                    match progress:
                        case Placed():
                            yield progress
                        case TextDelta(text):
                            pieces.append(text)
                            yield progress
                        case Outcome():
                            answered = _answered(progress, "".join(pieces), prompts[-1].notes)
                        case Frame() | StepDone():
                            log.error("a chat model sent %s", type(progress).__name__)
        except BaseException:
            await self._remember(question, "".join(pieces), stopped=True)
            raise
        if answered is not None:
            saved = await self._remember(question, answered.text, stopped=False)
            yield answered if saved else _unsaved(answered)

    async def reset(self, channel_id: int, *, actor: str) -> int:
        """Forget the channel's conversation; returns how many messages were forgotten.

        ``actor`` is who wants it, for the audit.

        Raises:
            StoreFailed: They can't be deleted.
        """
        count = await self._store.reset(channel_id)
        self._began_with.pop(channel_id, None)
        await self._store.audit(actor, "chat.reset", f"{count} messages of channel {channel_id}")
        return count

    async def _turns(self, question: Question) -> list[Turn]:
        try:
            messages = await self._store.history(
                question.channel_id,
                before_turn=question.message_id,
                limit=self._settings.window_messages,
            )
        except StoreFailed as exc:
            log.warning("answering without the earlier conversation: %s", exc)
            messages = ()
        return _turns(messages)

    def _note_beginning(self, channel_id: int, prompt: Prompt) -> None:
        """With which turn a channel's prompts begin; those asked longest ago are forgotten."""
        if prompt.since is None:
            return
        self._began_with.pop(channel_id, None)
        self._began_with[channel_id] = prompt.since
        if len(self._began_with) > _KNOWN_BEGINNINGS:
            del self._began_with[next(iter(self._began_with))]

    def _budget_in(self, placed: Placed) -> PromptBudget:
        """The whole budget, or what a smaller context leaves of it beside the answer."""
        context = dict(placed.settings).get("n_ctx")
        if not isinstance(context, int):
            return self._budget
        room = max(context - self._answer_tokens, context // 2)
        return replace(self._budget, prompt_tokens=min(self._budget.prompt_tokens, room))

    def _ask(
        self, make: MakeRequest, person: str | None, on_position: OnPosition | None
    ) -> AsyncGenerator[Progress]:
        if self._model is None:
            raise ModelMissing(
                "No chat model is chosen. Name one under use.chat in config/models.yaml."
            )
        asker = Asker(RequestClass.CHAT, person)
        return self._inference.stream(self._model, make, asker=asker, on_position=on_position)

    def _request(self, prompt: Prompt, question: Question) -> Generate:
        temperature = self._settings.temperature
        return Generate(
            prompt.messages,
            max_tokens=self._answer_tokens,
            temperature=min(temperature, FACTS_TEMPERATURE) if question.facts else temperature,
            top_p=self._settings.top_p,
            repeat_penalty=self._settings.repeat_penalty,
            # Questions about pictures have a beginning of their own, the same in all channels.
            conversation="facts" if question.facts else f"channel:{question.channel_id}",
        )

    async def _remember(self, question: Question, answer: str, *, stopped: bool) -> bool:
        """Keep the turn; ``False`` where it can't be kept. An answer without text is no turn."""
        if not answer.strip():
            return True
        now_s = time.time()
        asked = StoredMessage(
            question.channel_id,
            question.message_id,
            "user",
            question.author,
            remembered(question),
            question.facts,
            stopped=False,
            created_at_s=now_s,
        )
        try:
            await self._store.save_turn(
                asked,
                replace(
                    asked,
                    role="assistant",
                    author=_BOT_NAME,
                    text=answer,
                    facts=(),
                    stopped=stopped,
                ),
            )
        except StoreFailed as exc:
            log.warning("a turn is not kept: channel=%s %s", question.channel_id, exc)
            return False
        return True


def _turns(messages: Sequence[StoredMessage]) -> list[Turn]:
    """Whole turns only: the oldest message may be an answer whose question was let go.

    A stopped answer is left out: a small model takes a broken-off one as its example.
    """
    questions = {message.turn_id: message for message in messages if message.role == "user"}
    return [
        Turn(asked.author, asked.text, message.text, asked.facts, message.turn_id)
        for message in messages
        if message.role == "assistant"
        and not message.stopped
        and (asked := questions.get(message.turn_id)) is not None
    ]


def _answered(outcome: Outcome, text: str, notes: tuple[str, ...]) -> Answered:
    result = outcome.result
    if not isinstance(result, Generated):
        raise TypeError(f"a chat model answered with {type(result).__name__}")
    return Answered(
        text,
        outcome.placed,
        seconds=outcome.seconds,
        waited_s=outcome.waited_s,
        prompt_tokens=result.prompt_tokens,
        completion_tokens=result.completion_tokens,
        finish_reason=result.finish_reason,
        notes=notes,
    )


def _unsaved(answered: Answered) -> Answered:
    note = "I could not note this down, so I will not remember it."
    return replace(answered, notes=(*answered.notes, note))
