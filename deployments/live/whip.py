"""WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep): one POST with an offer publishes or plays.

What lives here: the HTTP of both. What does not: the room (`streaming`), who may come in (`doors.py`).

Who comes this way is a participant without a socket: he is gone with his connection, or by DELETE.
"""

from __future__ import annotations

import hashlib
from typing import Literal

from fastapi import APIRouter, Request, Response

from clearcast.errors import (
    AnswerTypeUnknown,
    ContentTypeWrong,
    Forbidden,
    NotFound,
    Overloaded,
    RequestMalformed,
    RoomElsewhere,
    SdpRefused,
    TrickleUnsupported,
    UploadTooLarge,
)
from deployments.ingress.access import Bearer
from deployments.ingress.problem_docs import problems
from deployments.ingress.uploads import read_body
from deployments.live.doors import person_of
from deployments.live.state import LiveState, live_state_of
from streaming.entry import Visit
from streaming.live_room import LiveRoom
from streaming.messages import IceServer
from streaming.participant import Participant

router = APIRouter(prefix="/v1/rooms/{room_id}", tags=["Live"])

SDP = "application/sdp"
MAX_OFFER_BYTES = 64 * 1024
_METHODS = "POST, OPTIONS"
_CORS = {  # RFC 9725 §4.2: players and publishers run in other people's pages
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Location, ETag, Link",
}
_PREFLIGHT = {
    **_CORS,
    "Access-Control-Allow-Methods": "POST, DELETE, PATCH, OPTIONS",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, If-Match",
    "Access-Control-Max-Age": "86400",
    "Accept-Post": SDP,
}

Way = Literal["whip", "whep"]

_RAISED = (
    AnswerTypeUnknown,
    ContentTypeWrong,
    NotFound,
    Overloaded,
    RequestMalformed,
    SdpRefused,
    UploadTooLarge,
)


@router.post(
    "/whip",
    status_code=201,
    operation_id="publishByWhip",
    summary="Speak in a room (WHIP)",
    response_class=Response,
    responses={
        **problems(*_RAISED),
        201: {"content": {SDP: {"schema": {"type": "string"}}}, "description": "The answer."},
        307: {"description": "The room lives on another node: ask there."},
    },
)
async def publish_by_whip(room_id: str, request: Request, bearer: Bearer) -> Response:
    """The body is an SDP offer that sends sound; `DELETE` of the `Location` ends it."""
    return await _begin(room_id, request, bearer, "whip")


@router.post(
    "/whep",
    status_code=201,
    operation_id="playByWhep",
    summary="Hear a room (WHEP)",
    response_class=Response,
    responses={
        **problems(*_RAISED),
        201: {"content": {SDP: {"schema": {"type": "string"}}}, "description": "The answer."},
        307: {"description": "The room lives on another node: ask there."},
    },
)
async def play_by_whep(room_id: str, request: Request, bearer: Bearer) -> Response:
    """The body is an SDP offer that receives sound; `DELETE` of the `Location` ends it."""
    return await _begin(room_id, request, bearer, "whep")


async def _begin(room_id: str, request: Request, bearer: Bearer, way: Way) -> Response:
    state = live_state_of(request)
    offer = await _offer(request)
    try:
        room, who = await _enter(state, room_id, bearer, way)
    except RoomElsewhere as elsewhere:
        location = f"{elsewhere.url}/v1/rooms/{room_id}/{way}"
        return Response(status_code=307, headers={**_CORS, "Location": location})
    try:
        answer = await (room.publish(who, offer) if way == "whip" else room.listen(who, offer))
    except BaseException:
        await room.leave(who)
        raise
    headers = {
        **_CORS,
        "Location": f"/v1/rooms/{room_id}/{way}/{who.id}",
        "ETag": f'"{hashlib.sha256(answer.encode()).hexdigest()[:16]}"',
    }
    response = Response(answer, 201, headers, media_type=SDP)
    for link in map(_link, state.ice_servers):
        response.headers.append("Link", link)
    return response


def _link(server: IceServer) -> str:
    """RFC 9725 §4.6."""
    credential = ""
    if server.username is not None:
        credential = f'; username="{server.username}"; credential="{server.credential}"'
    links = (f'<{url}>; rel="ice-server"{credential}' for url in server.urls)
    return ", ".join(f'{link}; credential-type="password"' if credential else link for link in links)


async def _offer(request: Request) -> str:
    """Raises ContentTypeWrong, AnswerTypeUnknown, UploadTooLarge, RequestMalformed."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != SDP:
        raise ContentTypeWrong("An offer is application/sdp.", hint=f"Send Content-Type: {SDP}.")
    if not _accepts_sdp(request.headers.get("accept")):
        raise AnswerTypeUnknown("The answer is application/sdp.", hint=f"Send Accept: {SDP}.")
    try:
        return (await read_body(request, MAX_OFFER_BYTES)).decode()
    except UnicodeDecodeError:
        raise RequestMalformed("An offer is text in UTF-8.") from None


def _accepts_sdp(accept: str | None) -> bool:
    """RFC 9110 §12.5.1; without the header anything is accepted."""
    if accept is None or not accept.strip():
        return True
    for part in accept.split(","):
        kind, _, parameters = part.partition(";")
        is_refused = parameters.replace(" ", "").lower() in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
        if kind.strip().lower() in {"*/*", "application/*", SDP} and not is_refused:
            return True
    return False


async def _enter(state: LiveState, room_id: str, bearer: Bearer, way: Way) -> tuple[LiveRoom, Participant]:
    record, entry = await state.doors.admit(Visit(room_id, bearer.credentials if bearer else None))
    if way == "whip" and not entry.reaches("publish"):
        raise Forbidden("You may not speak in this room.")
    await state.hall.admission.turn()
    room = state.hall.open(record)
    return room, state.hall.enter(room, entry, None)


@router.options("/whip", include_in_schema=False)
@router.options("/whep", include_in_schema=False)
@router.options("/whip/{participant_id}", include_in_schema=False)
@router.options("/whep/{participant_id}", include_in_schema=False)
async def tell_what_is_taken() -> Response:
    """CORS preflights carry no credential (Fetch §3.3.5), so none is asked for."""
    return Response(status_code=204, headers=_PREFLIGHT)


async def _session(
    request: Request, room_id: str, participant_id: str, bearer: Bearer
) -> tuple[LiveRoom, Participant]:
    """Whose connection this address is. Raises NotFound, Unauthenticated."""
    state = live_state_of(request)
    visitor = await state.doors.visitor(bearer.credentials if bearer else None)
    room = state.hall.rooms.get(room_id)
    who = None if room is None else room.people.get(participant_id)
    if room is None or who is None or not who.is_bare or who.entry.person != person_of(visitor):
        raise NotFound("There is no such connection.")
    return room, who


@router.delete(
    "/{way}/{participant_id}",
    operation_id="endLiveConnection",
    summary="End what WHIP or WHEP began",
    responses=problems(NotFound),
)
async def end_live_connection(
    room_id: str, way: Way, participant_id: str, request: Request, bearer: Bearer
) -> Response:
    """By whoever began it."""
    room, who = await _session(request, room_id, participant_id, bearer)
    await room.leave(who)
    return Response(status_code=200, headers=_CORS)


@router.patch(
    "/{way}/{participant_id}",
    operation_id="trickleCandidates",
    summary="Not supported: all candidates are in the answer",
    responses=problems(NotFound, TrickleUnsupported),
)
async def trickle_candidates(
    room_id: str, way: Way, participant_id: str, request: Request, bearer: Bearer
) -> Response:
    """RFC 9725 §4.3: a server without trickle ICE and ICE restarts says 501."""
    await _session(request, room_id, participant_id, bearer)
    raise TrickleUnsupported("Candidates are not taken one by one.", hint="All are in the answer.")
