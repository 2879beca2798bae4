"""What MQTT 3.1.1 demands of any topic and filter (4.7). What a topic means lives far above."""

TOPIC_RULE = "a topic is not empty and has no wildcard"
FILTER_RULE = "a filter is not empty, + fills its level and # is the last level"


def is_topic(topic: str) -> bool:
    """Tell whether a message can be published there."""
    return topic != "" and "#" not in topic and "+" not in topic


def is_filter(topic_filter: str) -> bool:
    """Tell whether one can subscribe to it."""
    if not topic_filter:
        return False
    levels = topic_filter.split("/")
    if any(len(level) > 1 and ("+" in level or "#" in level) for level in levels):
        return False
    return "#" not in levels[:-1]
