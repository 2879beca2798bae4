"""Every row of the hub's conformance checklist (contract hub.md 26) has tests, and this is where they are."""

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

CHECKLIST: dict[int, tuple[str, ...]] = {
    1: (
        "net/test_websocket.py::test_paths_and_spellings",
        "net/test_websocket.py::test_amqp_inside",
        "net/test_tls.py::test_alpn_offers_http_1_1_where_told_and_never_h2",
        "conformance/test_node_at_home.py::test_a_device_with_a_key",
    ),
    2: (
        "unit/security/test_sas.py::test_accepts_every_hub_client",
        "unit/security/test_sas.py::test_refuses_unsound_hub_tokens",
        "unit/security/test_sas.py::test_policy_name_is_decoded_and_empty_means_none",
        "unit/security/test_sas.py::test_scheme_ignores_case_and_unknown_fields_are_ignored",
        "unit/hub/test_amqp_events.py::test_tokens_in_the_manner_of_event_hubs",
    ),
    3: ("unit/hub/test_http_service.py::test_twins", "hostile/test_hub.py::test_java_spells_patch_as_post"),
    4: ("unit/hub/test_http_service.py::test_queries_come_in_pages", "conformance/test_hub_jobs.py::test_node"),
    5: ("unit/hub/test_http_service.py::test_bulk", "conformance/test_node_registry.py::test_the_registry"),
    6: (
        "unit/hub/test_http_service.py::test_create_get_update_delete",
        "conformance/test_python_services.py::test_device_identity_life_cycle",
    ),
    7: (
        "unit/hub/test_http_service.py::test_create_get_update_delete",
        "unit/hub/test_modules.py::test_life_of_a_module",
    ),
    8: (
        "unit/hub/test_amqp_cbs.py::test_mechanisms_that_prove_nothing",
        "unit/hub/test_amqp_cbs.py::test_plain",
        "unit/hub/amqp/test_links.py::test_certificates",
        "conformance/test_node_at_home.py::test_a_device_with_a_certificate",
    ),
    9: ("proto/amqp/test_links.py::test_attach_says_everything", "proto/amqp/test_codec.py::test_values_are_written"),
    10: (
        "unit/hub/test_amqp_cbs.py::test_the_answer_repeats_the_id_with_its_type",
        "unit/hub/test_amqp_cbs.py::test_the_token_speaks_for_itself",
    ),
    11: (
        "unit/hub/amqp/test_twin.py::test_a_twin_is_read",
        "unit/hub/amqp/test_methods.py::test_a_method",
        "unit/hub/amqp/test_messages.py::test_a_message_to_the_device",
    ),
    12: (
        "unit/hub/test_deliveries.py::test_what_waited_and_what_comes_later",
        "unit/hub/test_message_bag.py::test_everything_in_its_order_and_spelling",
    ),
    13: ("unit/hub/test_mqtt.py::test_the_twin",),
    14: (
        "unit/hub/test_mqtt.py::test_subscriptions_survive_for_those_who_ask",
        "unit/hub/test_mqtt.py::test_a_second_connection_ends_the_first",
        "unit/hub/amqp/test_links.py::test_mqtt_and_amqp_displace_each_other",
    ),
    15: (
        "unit/hub/test_amqp_service.py::test_feedback_as_every_sdk_reads_it",
        "unit/hub/test_amqp_service.py::test_what_is_rejected",
    ),
    16: (
        "unit/hub/test_amqp_events.py::test_the_way_from_the_hubs_addresses",
        "conformance/test_event_hubs.py::test_the_monitor_of_the_cli",
    ),
    17: (
        "unit/hub/test_amqp_events.py::test_reading_about_the_event_hub",
        "conformance/test_event_hubs.py::test_python_reads_what_devices_send",
    ),
    18: (
        "unit/hub/test_device_http.py::test_a_message_and_its_headers",
        "unit/hub/test_device_http.py::test_how_a_message_may_end",
    ),
    19: ("unit/hub/test_http_service.py::test_an_error_is_what_sdks_read",),
}


@pytest.mark.parametrize("row", range(1, 20))
def test_a_row_has_tests(row: int) -> None:
    assert CHECKLIST[row]
    for name in CHECKLIST[row]:
        path, _, function = name.partition("::")
        tree = ast.parse((TESTS / path).read_text())
        defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert function in defined, name
