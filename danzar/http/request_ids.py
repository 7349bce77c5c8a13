"""Each request to the status server has an id, which its answer and the log have, too."""

from aiohttp import web
from aiohttp.typedefs import Handler

from danzar.request_id import HEADER, as_request_id, current_request_id
from danzar.request_id import request as working_for


@web.middleware
async def with_request_id(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer under the id that the client gave, where it is sane, or under a new one."""
    with working_for("h", as_request_id(request.headers.get(HEADER))):
        return await handler(request)


async def echo_request_id(_request: web.Request, response: web.StreamResponse) -> None:
    """For ``on_response_prepare``: tell the client."""
    request_id = current_request_id()
    if request_id is not None:
        response.headers[HEADER] = request_id
