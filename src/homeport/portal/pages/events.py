"""Lifecycle events: the last ones, and the webhooks that are told of them."""

from aiohttp import web

from homeport.client import BadRequestError, ProvisioningServiceError
from homeport.portal.context import page, portal, see, session

routes = web.RouteTableDef()

_RECENT = 15
_LETTERS = 100


@routes.get("/events")
async def index(request: web.Request) -> web.Response:
    admin = portal(request).api.admin
    subscriptions = await admin.event_subscriptions()
    recent = await admin.page_audit(page_size=_RECENT)
    secrets = session(request).take_secrets("/events")
    return page(request, "events.html", subscriptions=subscriptions, entries=recent.items, secrets=secrets)


@routes.get("/new/events")
async def new(request: web.Request) -> web.Response:
    return _form(request, {"mode": "structured", "signed": "on"}, {})


@routes.post("/new/events")
async def create(request: web.Request) -> web.Response:
    sent = await request.post()
    values = {name: value for name, value in sent.items() if isinstance(value, str) and name != "csrf"}
    errors: dict[str, str] = {}
    name, url = values.get("name", "").strip(), values.get("url", "").strip()
    if not name:
        errors["name"] = "Give the subscription a name."
    if not url.startswith(("https://", "http://")):
        errors["url"] = "An https address; http only on this machine."
    admin = portal(request).api.admin
    if name and any(each.name.lower() == name.lower() for each in await admin.event_subscriptions()):
        errors["name"] = "There is a subscription of that name already."
    if errors:
        return _form(request, values, errors, status=422)
    try:
        made = await admin.subscribe(
            name,
            url,
            types=[word for word in values.get("types", "").replace(",", " ").split() if word],
            subject_prefix=values.get("subject", "").strip(),
            mode=values.get("mode", "structured"),
            signed=values.get("signed") == "on",
        )
    except BadRequestError as error:
        return _form(request, values, errors, status=error.status, problem=error)
    if made.secret is not None:
        session(request).secrets["/events"] = {f"Signing secret of {made.name}": made.secret}
    return see(request, "/events", f"{made.name} is told of {', '.join(made.types) or 'all events'}.")


@routes.get("/events/{name}")
async def show(request: web.Request) -> web.Response:
    admin, name = portal(request).api.admin, request.match_info["name"]
    subscription = await admin.get_event_subscription(name)
    letters = []
    async for letter in admin.dead_letters(name, page_size=_LETTERS):
        letters.append(letter)
        if len(letters) == _LETTERS:
            break
    return page(request, "event_subscription.html", subscription=subscription, letters=letters)


@routes.post("/events/{name}/test")
async def try_out(request: web.Request) -> web.Response:
    name = request.match_info["name"]
    tried = await portal(request).api.admin.test_subscription(name)
    return see(request, request.path.removesuffix("/test"), f"Test: {tried.detail}.")


@routes.post("/events/{name}/replay")
async def replay(request: web.Request) -> web.Response:
    count = await portal(request).api.admin.replay_events(request.match_info["name"])
    return see(request, request.path.removesuffix("/replay"), f"{count} events are in line again.")


@routes.post("/events/{name}/remove")
async def remove(request: web.Request) -> web.Response:
    name = request.match_info["name"]
    await portal(request).api.admin.unsubscribe(name)
    return see(request, "/events", f"{name} is told of nothing any more.")


def _form(
    request: web.Request,
    values: dict[str, str],
    errors: dict[str, str],
    *,
    status: int = 200,
    problem: ProvisioningServiceError | None = None,
) -> web.Response:
    return page(request, "event_form.html", status=status, values=values, errors=errors, problem=problem)
