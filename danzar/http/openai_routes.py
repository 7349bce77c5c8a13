"""OpenAI's endpoints, so that clients that people have already can talk to Danzar."""

from fastapi import APIRouter

from danzar.http import (
    openai_chat,
    openai_completions,
    openai_embeddings,
    openai_files,
    openai_images,
    openai_models,
    openai_socket,
)

router = APIRouter(prefix="/v1", tags=["openai"])
for _part in (
    openai_models,
    openai_chat,
    openai_completions,
    openai_embeddings,
    openai_images,
    openai_files,
    openai_socket,
):
    router.include_router(_part.router)
