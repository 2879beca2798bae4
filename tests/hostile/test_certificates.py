"""Client certificates of every bad kind: refused with 401002 and a reason, or cut off; never a fault of the server."""

import ssl
from collections.abc import Iterator, Sequence

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ObjectIdentifier

from homeport.client import AttestationMechanism, EnrollmentGroup, IndividualEnrollment
from homeport.proto.mqtt import ConnAck, Connect, Publish, ReturnCode, encode
from tests.hostile.devices import Packets
from tests.hostile.forge import Forged, altered, client_context, forge, named, rsa_key, signed_with
from tests.hostile.target import MQTT, Answer, Target, unique

UNKNOWN = ObjectIdentifier("1.3.6.1.4.1.99999.1")


@pytest.fixture(scope="module")
def root(target: Target) -> Iterator[Forged]:
    """A root that a group trusts."""
    root = forge(unique("hostile root"), ca=True)
    group = enroll_group(target, root)
    yield root
    target.operator.delete_enrollment_group(group)


def enroll_group(target: Target, signer: Forged) -> str:
    group_id = unique("hostile-group")
    target.operator.create_or_update_enrollment_group(
        EnrollmentGroup(enrollment_group_id=group_id, attestation=AttestationMechanism.for_x509_signing(signer.pem))
    )
    return group_id


def enroll(target: Target, registration_id: str, certificate: Forged) -> None:
    target.operator.create_or_update_individual_enrollment(
        IndividualEnrollment(
            registration_id=registration_id, attestation=AttestationMechanism.for_x509_client(certificate.pem)
        )
    )


def register(target: Target, registration_id: str, leaf: Forged, chain: Sequence[Forged] = ()) -> Answer:
    context = client_context(target.ca_file, leaf, chain)
    return target.ask("PUT", target.register_path(registration_id), b"{}", context=context)


def refused(target: Target, registration_id: str, leaf: Forged, chain: Sequence[Forged] = ()) -> str:
    """Return the reason on record."""
    document = target.assert_refused(register(target, registration_id, leaf, chain), 401)
    assert document["errorCode"] == 401002
    assert document["message"] in {"Unauthorized", "Invalid certificate.", "CA certificate not found."}
    attempt = target.why(registration_id)[0]
    assert attempt.tracking_id == document["trackingId"]
    assert attempt.advice
    assert attempt.reason.isprintable()
    return attempt.reason


def test_the_good_ones_are_let_in(target: Target, root: Forged) -> None:
    """The forger makes sound certificates, too: what is refused below is refused for its fault alone."""
    line = forge("line", root, ca=True, path_length=0)
    for chain in ([line], [line, root], [root, line], [line, line, line]):
        assert register(target, "sound", forge("sound", line), chain).status == 202
    big = forge("sound", root, key=rsa_key(2203, 2281))  # 4484 bits
    assert register(target, "sound", big).status == 202


# ---------------------------------------------------------------- time, name, kind


def test_dates(target: Target, root: Forged) -> None:
    assert "expired 3 days ago" in refused(target, "old", forge("old", root, days=(-30, -3)))
    assert "not valid before" in refused(target, "young", forge("young", root, days=(3, 30)))
    line = forge("old line", root, ca=True, days=(-30, -3))
    assert "'CN=old line' expired" in refused(target, "of-old", forge("of-old", line), [line])
    late = forge("own-late", days=(-30, -3))
    enroll(target, "own-late", late)
    assert "expired" in refused(target, "own-late", late)
    ancient = forge("ancient", root, days=(-20_000, 300_000))
    assert register(target, "ancient", ancient).status == 202


@pytest.mark.filterwarnings("ignore:Attribute's length")
def test_names_that_are_not_the_devices(target: Target, root: Forged) -> None:
    for name in (
        named("another"),
        named("victim", "attacker"),
        named("attacker", "victim"),
        named("victim", "victim"),
        x509.Name([]),
        named("victim\x00.attacker"),
        named("victim\r\nX: y"),
        named("victim "),
        named("v\u0456ctim"),
        named("VICT\u0130M"),
        named("\u202evictim"),
        named("v" * 2000),
        named("\x1b[31mvictim"),
        named("victim" + "\U0001f600" * 64),
    ):
        leaf = forge(name, root)
        reason = refused(target, "victim", leaf)
        assert "common name" in reason
        assert len(reason) < 1500


def test_a_name_with_nul_patched_in(target: Target, root: Forged) -> None:
    leaf = altered(forge("victim:attacker", root), b"victim:attacker", b"victim\x00attacker")
    assert "common name" in refused(target, "victim", leaf)


def test_self_signed_where_a_group_is_wanted(target: Target, root: Forged) -> None:
    leaf = forge("alone")
    assert "not a signing certificate of any enrollment group" in refused(target, "alone", leaf)
    assert "chain ends at" in refused(target, "alone", leaf, [root])


def test_a_root_of_the_same_name(target: Target, root: Forged) -> None:
    """Its name is the group's, its key is not."""
    impostor = forge(root.name, ca=True)
    assert refused(target, "fooled", forge("fooled", impostor), [impostor])
    assert refused(target, "fooled", forge("fooled", impostor), [root])


def test_the_groups_certificate_itself_is_no_device(target: Target, root: Forged) -> None:
    """Whoever has the root's key may sign a device; the root's certificate alone registers nobody else."""
    assert "common name" in refused(target, "someone", root)


def test_another_certificate_than_the_enrolled_one(target: Target) -> None:
    registration_id = unique("own")
    mine = forge(registration_id)
    enroll(target, registration_id, mine)
    assert "thumbprint" in refused(target, registration_id, forge(registration_id))
    # The same key and name, but reissued: another certificate.
    assert "thumbprint" in refused(target, registration_id, forge(registration_id, key=mine.key))
    assert register(target, registration_id, mine).status == 202


# ---------------------------------------------------------------- chains


def test_issuers_that_are_no_ca(target: Target, root: Forged) -> None:
    for ca in (False, None):
        line = forge("no ca", root, ca=ca)
        assert "lacks CA:TRUE" in refused(target, "below", forge("below", line), [line])
    usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
    line = forge("no signer", root, ca=True, extensions=[(usage, True)])
    assert "certificate signing" in refused(target, "below", forge("below", line), [line])


def test_a_chain_that_is_too_long_for_its_ca(target: Target, root: Forged) -> None:
    first = forge("first", root, ca=True, path_length=0)
    second = forge("second", first, ca=True)
    reason = refused(target, "deep", forge("deep", second), [second, first])
    assert "allows 0 CA certificates below it, the chain has 1" in reason


def test_loops(target: Target, root: Forged) -> None:
    """Two CAs that vouch for each other, and one for itself, lead nowhere, and not for ever."""
    a, b = forge("loop a", ca=True), forge("loop b", ca=True)
    a_by_b = forge("loop a", b, ca=True, key=a.key)
    b_by_a = forge("loop b", a, ca=True, key=b.key)
    leaf = forge("looped", a)
    assert refused(target, "looped", leaf, [a_by_b, b_by_a, a_by_b, b_by_a])
    assert refused(target, "looped", leaf, [a, a_by_b, b_by_a, b, root])


def test_many_cas_of_one_name(target: Target) -> None:
    """Each could be the issuer: the search for the path gives up before it gets expensive."""
    cas = [forge("same", ca=True) for _ in range(9)]
    leaf = forge("lost", forge("same", ca=True))
    assert refused(target, "lost", leaf, cas)


@pytest.mark.parametrize("count", [11, 30, 100])
def test_chains_beyond_the_limit_are_cut_off(target: Target, root: Forged, count: int) -> None:
    signer, chain = root, list[Forged]()
    for number in range(count):
        signer = forge(f"long {number}", signer, ca=True)
        chain.insert(0, signer)
    assert_closed(target, forge("long", signer), chain)


def test_certificates_beyond_the_limit_are_cut_off(target: Target, root: Forged) -> None:
    huge = x509.UnrecognizedExtension(UNKNOWN, bytes(40_000))
    assert_closed(target, forge("huge", root, extensions=[(huge, False)]))
    many = x509.SubjectAlternativeName([x509.DNSName(f"n{number}.example") for number in range(3000)])
    assert_closed(target, forge("huge", root, extensions=[(many, False)]))


def assert_closed(target: Target, leaf: Forged, chain: Sequence[Forged] = ()) -> None:
    """The handshake fails, or the connection ends before anything is answered."""
    data = f"PUT {target.register_path('long')} HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n".encode()
    try:
        answer = target.ask_raw(data, client_context(target.ca_file, leaf, chain))
    except (ssl.SSLError, ConnectionError):
        return
    assert answer is None


def test_a_large_extension_within_the_limits(target: Target, root: Forged) -> None:
    large = x509.UnrecognizedExtension(UNKNOWN, bytes(15_000))
    assert register(target, "large", forge("large", root, extensions=[(large, False)])).status == 202
    larger = x509.UnrecognizedExtension(UNKNOWN, bytes(20_000))
    assert "larger than" in refused(target, "larger", forge("larger", root, extensions=[(larger, False)]))


def test_extensions_that_nobody_understands(target: Target, root: Forged) -> None:
    strange = x509.UnrecognizedExtension(UNKNOWN, b"\x05\x00")
    assert UNKNOWN.dotted_string in refused(target, "strange", forge("strange", root, extensions=[(strange, True)]))
    limits = x509.NameConstraints([x509.DNSName("example.com")], None)
    line = forge("limited", root, ca=True, extensions=[(limits, True)])
    assert "critical extensions" in refused(target, "inside", forge("inside", line), [line])


# ---------------------------------------------------------------- numbers


@pytest.mark.parametrize("exponents", [(521, 521 + 86), (521, 607), (4253, 4423), (4423, 9689), (4423, 11213)])
def test_rsa_keys_of_other_sizes(target: Target, root: Forged, exponents: tuple[int, int]) -> None:
    """1128 bits are too few, 8676 and more too many; proving one must cost the server little."""
    key = rsa_key(521, 607) if exponents[0] == 521 else rsa_key(*exponents)
    reason = refused(target, "numbers", forge("numbers", root, key=key))
    assert f"RSA keys must have 2048 to 8192 bits, this one has {key.key_size}" in reason


def test_an_issuer_with_a_key_of_another_size(target: Target, root: Forged) -> None:
    line = forge("heavy line", root, ca=True, key=rsa_key(4423, 9689))
    assert "RSA keys must have" in refused(target, "below-heavy", forge("below-heavy", line), [line])


def test_weak_curves_and_hashes(target: Target, root: Forged) -> None:
    # In an issuer, since no TLS client would prove a key of that curve.
    line = forge("curved line", root, ca=True, key=ec.generate_private_key(ec.SECP256K1()))
    assert "secp256k1" in refused(target, "below", forge("below", line), [line])
    above = forge("rsa line", root, ca=True, key=rsa_key(1279, 2203))  # 3482 bits
    for name in ("md5", "sha1"):
        leaf = signed_with(name, forge("hashed", above))
        assert f"signed with {name.upper()}" in refused(target, "hashed", leaf, [above])
        line = signed_with(name, forge("hashed line", above, ca=True))
        assert f"signed with {name.upper()}" in refused(target, "below", forge("below", line), [line, above])


def test_serial_numbers(target: Target, root: Forged) -> None:
    plain = forge("serial", root, serial=0x7F0102030405060708)
    negative = altered(plain, bytes.fromhex("02097f0102030405060708"), bytes.fromhex("0209ff0102030405060708"))
    assert "serial number" in refused(target, "serial", negative)
    one = forge("serial", root, serial=1)
    zero = altered(one, bytes.fromhex("a003020102020101"), bytes.fromhex("a003020102020100"))
    assert "serial number" in refused(target, "serial", zero)


def test_bytes_that_were_altered(target: Target, root: Forged) -> None:
    """After its signature: the key is proven, the certificate is not what the CA signed."""
    honest = forge("nobody", root)
    leaf = Forged(honest.der.replace(b"nobody", b"victim"), honest.key, root)
    assert "altered" in refused(target, "victim", leaf)


def test_what_is_inside_is_malformed(target: Target, root: Forged) -> None:
    """Where the client's own OpenSSL cannot even show it, or the server's ends the handshake, nothing is answered."""
    plain = forge("malformed", root)
    usage = x509.UnrecognizedExtension(ObjectIdentifier("2.5.29.15"), b"\x05\x00")
    names = x509.UnrecognizedExtension(ObjectIdentifier("2.5.29.17"), b"\x30\x03\x82\x01\xff")
    key_id = x509.UnrecognizedExtension(ObjectIdentifier("2.5.29.35"), b"\x30\x04\x81\x02no")
    leaves = [
        altered(plain, b"\x06\x03\x55\x04\x03", b"\x06\x03\x80\x80\x80"),
        altered(plain, b"\x0c\x09malformed", b"\x0c\x09mal\xff\xfermed"),
        altered(plain, b"\x0c\x09malformed", b"\x1e\x09malformed"),
        altered(plain, b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x07"),
        *(forge("malformed", root, extensions=[(each, False)]) for each in (usage, names, key_id)),
    ]
    answered = 0
    for leaf in leaves:
        try:
            answer = register(target, "malformed", leaf)
        except (ssl.SSLError, ConnectionError):
            continue
        target.assert_refused(answer, 401)
        answered += 1
    assert answered


# ---------------------------------------------------------------- elsewhere


def test_over_mqtt_the_answer_is_the_same(target: Target, root: Forged) -> None:
    for leaf in (forge("another", root), forge("over-mqtt", root, days=(-30, -3)), forge("over-mqtt")):
        with target.connect(MQTT, client_context(target.ca_file, leaf)) as connection:
            packets = Packets(connection)
            user_name = f"{target.id_scope}/registrations/over-mqtt/api-version=2021-06-01"
            connection.sendall(encode(Connect(client_id="over-mqtt", user_name=user_name)))
            assert packets.next() == ConnAck()
            topic = "$dps/registrations/PUT/iotdps-register/?$rid=1"
            connection.sendall(encode(Publish(topic=topic, payload=b"{}")))
            answer = packets.next()
            assert isinstance(answer, Publish)
            assert answer.topic == "$dps/registrations/res/401/?$rid=1"
            assert b'"errorCode":401002' in answer.payload


def test_at_the_hub(target: Target, root: Forged) -> None:
    """A certificate that let the device register is not the thumbprint of another device."""
    good = forge("at-hub", root)
    assert register(target, "at-hub", good).status == 202
    no = ReturnCode.NOT_AUTHORIZED
    for leaf, code in ((good, ReturnCode.ACCEPTED), (forge("at-hub", root), no), (forge("at-hub"), no), (root, no)):
        with target.connect(MQTT, client_context(target.ca_file, leaf)) as connection:
            user_name = f"{target.host}/at-hub/?api-version=2021-04-12"
            connection.sendall(encode(Connect(client_id="at-hub", user_name=user_name)))
            assert Packets(connection).next() == ConnAck(return_code=code)
