"""YAML, and with it JSON, read into JSON's values and nothing else."""

from collections import Counter
from typing import Any

import yaml


class PlainYamlError(ValueError):
    """The text is no YAML of plain values; the message says why, and in which line."""


def read_plain(text: str) -> Any:
    """Return what a document says, None for an empty one. Raises PlainYamlError."""
    try:
        return yaml.load(text, Loader=_YamlLoader)  # noqa: S506 - it makes only plain values
    except yaml.MarkedYAMLError as error:
        line = "" if error.problem_mark is None else f" (line {error.problem_mark.line + 1})"
        raise PlainYamlError(f"{error.problem}{line}") from error
    except yaml.YAMLError as error:
        raise PlainYamlError(str(error)) from error
    except RecursionError as error:
        raise PlainYamlError("nested too deeply") from error


_MERGE = "tag:yaml.org,2002:merge"


class _YamlLoader(yaml.SafeLoader):
    """YAML as JSON's values: a date stays text, a repeated key is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE]
        if twice := next((key for key, count in Counter(keys).items() if count > 1), None):
            raise yaml.constructor.ConstructorError(problem=f"'{twice}' stands twice", problem_mark=node.start_mark)
        document: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return document


_YamlLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
