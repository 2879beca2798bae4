"""The topics and filters of devices (contract hub.md 13.3 to 13.7)."""

TWIN_ANSWERS = "$iothub/twin/res/#"
DESIRED_CHANGES = "$iothub/twin/PATCH/properties/desired/#"
METHOD_CALLS = "$iothub/methods/POST/#"

TWIN_GET = "$iothub/twin/GET/"
TWIN_REPORT = "$iothub/twin/PATCH/properties/reported/"
METHOD_ANSWERS = "$iothub/methods/res/"


def bag_of(topic: str, prefix: str) -> str | None:
    """Return the property bag of a telemetry topic, None for another topic."""
    if not topic.startswith(prefix):
        return None
    rest = topic[len(prefix) :]
    if not rest:
        return ""
    return rest[1:] if rest[0] == "/" else None


def query_of(topic: str) -> dict[str, str]:
    """Read the query of a twin topic; values are echoed, so they stay as they came."""
    fields: dict[str, str] = {}
    for item in topic.partition("?")[2].split("&"):
        name, _, value = item.partition("=")
        fields.setdefault(name, value)
    return fields
