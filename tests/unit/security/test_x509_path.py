"""Certificate paths: which group a chain leads to, and why another one leads nowhere."""

import itertools
from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
from cryptography import x509 as lib
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from homeport.security import x509_path
from homeport.security.x509 import Certificate, parse_der
from homeport.security.x509_path import (
    CertificateIndex,
    Path,
    PathFault,
    PathProblem,
    PathResult,
    find_anchor,
    is_issued_by,
    judge_leaf,
)
from tests.unit.security.certificates import NOW, YEAR, Issued, Options, ec_key, issue, name, rsa_key, unknown_extension

DAY = timedelta(days=1)
ROOT = issue("Root")
INTERMEDIATE = ROOT.ca("Intermediate")
LEAF = INTERMEDIATE.leaf()


def find(presented: Sequence[Certificate | Issued], *anchors: Issued) -> PathResult:
    certificates = [item.certificate if isinstance(item, Issued) else item for item in presented]
    return find_anchor(certificates, CertificateIndex(anchor.certificate for anchor in anchors), now=NOW)


def assert_path(result: PathResult, *expected: Certificate | Issued) -> None:
    assert isinstance(result, Path), result
    certificates = [item.certificate if isinstance(item, Issued) else item for item in expected]
    assert list(result.certificates) == certificates
    assert (result.leaf, result.anchor) == (certificates[0], certificates[-1])


def assert_problem(result: PathResult | None, fault: PathFault, *words: str) -> None:
    assert isinstance(result, PathProblem), result
    assert result.fault is fault
    for word in words:
        assert word in result.explanation


# ---------------------------------------------------------------- sound chains


@pytest.mark.parametrize(
    "root_key",
    [rsa_key(), ec_key(), ec_key(ec.SECP384R1()), ed25519.Ed25519PrivateKey.generate()],
    ids=lambda k: type(k).__name__,
)
@pytest.mark.parametrize("leaf_key", [rsa_key(2048, 9), ec_key()], ids=lambda k: type(k).__name__)
def test_every_kind_of_key(root_key: ec.EllipticCurvePrivateKey, leaf_key: ec.EllipticCurvePrivateKey) -> None:
    root = issue("R", key=root_key)
    intermediate = root.ca("I", key=rsa_key(2048, 1))
    leaf = intermediate.leaf(key=leaf_key)
    assert_path(find([leaf, intermediate], root), leaf, intermediate, root)


def test_leaf_alone_below_the_anchor() -> None:
    assert_path(find([LEAF], INTERMEDIATE), LEAF, INTERMEDIATE)


def test_leaf_and_intermediate() -> None:
    assert_path(find([LEAF, INTERMEDIATE], ROOT), LEAF, INTERMEDIATE, ROOT)


@pytest.mark.parametrize("rest", list(itertools.permutations([INTERMEDIATE, ROOT, issue("Stranger")])))
def test_the_full_chain_in_any_order_and_with_strangers(rest: Sequence[Issued]) -> None:
    assert_path(find([LEAF, *rest], ROOT), LEAF, INTERMEDIATE, ROOT)


def test_the_anchor_may_be_an_intermediate_of_the_full_chain() -> None:
    assert_path(find([LEAF, INTERMEDIATE, ROOT], INTERMEDIATE), LEAF, INTERMEDIATE)


def test_without_key_identifiers() -> None:
    root = issue("R", key_ids=False)
    intermediate = root.ca("I", key_ids=False)
    leaf = intermediate.leaf(key_ids=False)
    assert_path(find([leaf, intermediate], root), leaf, intermediate, root)


def test_the_nearest_of_two_groups_in_one_hierarchy_wins() -> None:
    for anchors in ((ROOT, INTERMEDIATE), (INTERMEDIATE, ROOT)):
        sent: list[list[Certificate | Issued]] = [[LEAF], [LEAF, INTERMEDIATE], [LEAF, ROOT, INTERMEDIATE]]
        for presented in sent:
            assert_path(find(presented, *anchors), LEAF, INTERMEDIATE)


def test_a_cross_signed_twin_does_not_lead_around_the_nearest_group() -> None:
    twin = ROOT.ca("Intermediate", key=INTERMEDIATE.key)
    assert_path(find([LEAF, twin, ROOT], ROOT, INTERMEDIATE), LEAF, INTERMEDIATE)
    assert_path(find([LEAF, twin], ROOT), LEAF, twin, ROOT)


def test_a_renewed_intermediate_stands_in_for_its_expired_twin() -> None:
    expired = ROOT.ca("Intermediate", key=INTERMEDIATE.key, ends=NOW - DAY)
    assert_path(find([LEAF, expired, INTERMEDIATE], ROOT), LEAF, INTERMEDIATE, ROOT)
    assert_problem(find([LEAF, expired], ROOT), PathFault.EXPIRED, "'CN=Intermediate'", "1 day ago")


def test_the_longest_chain() -> None:
    chain = [issue("CA 0")]
    for number in range(1, 10):
        chain.append(chain[-1].ca(f"CA {number}"))
    leaf = chain[-1].leaf()
    assert_path(find([leaf, *chain[:0:-1]], chain[0]), leaf, *reversed(chain))


# ---------------------------------------------------------------- no anchor


def test_nothing_presented() -> None:
    assert_problem(find([], ROOT), PathFault.NO_CERTIFICATE)


def test_unknown_issuer_is_named() -> None:
    assert_problem(
        find([LEAF], ROOT), PathFault.NO_ANCHOR, "'CN=device-001'", "issued by 'CN=Intermediate'", "did not send"
    )
    assert_problem(find([LEAF, INTERMEDIATE]), PathFault.NO_ANCHOR, "'CN=Intermediate', issued by 'CN=Root'")
    assert_problem(find([LEAF, INTERMEDIATE, ROOT]), PathFault.NO_ANCHOR, "ends at 'CN=Root', which is not")


def test_a_rolled_root_of_the_same_name_is_another_root() -> None:
    rolled = issue("Root")
    result = find([LEAF, INTERMEDIATE], rolled)
    assert_problem(result, PathFault.NO_ANCHOR, "'CN=Root'", "with another key")
    assert_path(find([LEAF, INTERMEDIATE], rolled, ROOT), LEAF, INTERMEDIATE, ROOT)


def test_a_rolled_root_without_key_identifiers() -> None:
    old, rolled = issue("R", key_ids=False), issue("R", key_ids=False)
    leaf = old.leaf(key_ids=False)
    assert_problem(find([leaf], rolled), PathFault.BROKEN_SIGNATURE, "'CN=R'", "new key under its old name")
    assert_path(find([leaf], rolled, old), leaf, old)


def test_an_anchor_is_not_a_device() -> None:
    assert_problem(find([ROOT], ROOT), PathFault.NO_ANCHOR)
    assert_problem(find([INTERMEDIATE], INTERMEDIATE), PathFault.NO_ANCHOR, "issued by 'CN=Root'")


def test_a_self_signed_device_has_no_anchor() -> None:
    assert_problem(find([issue("device-001", ca=None)], ROOT), PathFault.NO_ANCHOR, "'CN=device-001'")


# ---------------------------------------------------------------- unsound certificates


def test_an_altered_certificate() -> None:
    altered = parse_der(LEAF.der.replace(b"device-001", b"device-002"))
    assert altered.common_name == "device-002"
    assert_problem(find([altered, INTERMEDIATE], ROOT), PathFault.BROKEN_SIGNATURE, "'CN=device-002'")


@pytest.mark.parametrize("which", ["leaf", "intermediate", "root"])
@pytest.mark.parametrize(
    ("starts", "ends", "fault", "words"),
    [
        (
            NOW - YEAR,
            NOW - DAY * 3,
            PathFault.EXPIRED,
            "3 days ago, at 2024-05-29T12:00:00Z (server's clock: 2024-06-01T12:00:00Z)",
        ),
        (NOW + DAY, NOW + YEAR, PathFault.NOT_YET_VALID, "not valid before 2024-06-02T12:00:00Z"),
    ],
)
def test_every_certificate_must_be_within_its_dates(
    which: str, starts: datetime, ends: datetime, fault: PathFault, words: str
) -> None:
    dates: Options = {"starts": starts, "ends": ends}
    root = issue("R", **(dates if which == "root" else {}))
    intermediate = root.ca("I", **(dates if which == "intermediate" else {}))
    leaf = intermediate.leaf(**(dates if which == "leaf" else {}))
    subject = {"leaf": "'CN=device-001'", "intermediate": "'CN=I'", "root": "'CN=R'"}[which]
    assert_problem(find([leaf, intermediate], root), fault, subject, words)


def test_clocks_may_differ_by_the_tolerance() -> None:
    minute = timedelta(minutes=1)
    leaf = ROOT.leaf(starts=NOW - YEAR, ends=NOW - minute)
    anchors = CertificateIndex([ROOT.certificate])
    assert_path(find([leaf], ROOT), leaf, ROOT)
    assert_problem(find_anchor([leaf], anchors, now=NOW, tolerance=minute / 2), PathFault.EXPIRED)
    early = ROOT.leaf(starts=NOW + minute)
    assert_path(find([early], ROOT), early, ROOT)
    assert_problem(find_anchor([early], anchors, now=NOW, tolerance=minute / 2), PathFault.NOT_YET_VALID)


@pytest.mark.parametrize("ca", [False, None])
def test_an_issuer_must_be_a_ca(ca: bool | None) -> None:
    intermediate = ROOT.ca("I", ca=ca)
    leaf = intermediate.leaf()
    assert_problem(find([leaf, intermediate], ROOT), PathFault.NOT_A_CA, "'CN=I'", "CA:TRUE")
    assert_problem(find([leaf], intermediate), PathFault.NOT_A_CA, "'CN=I'")


def test_a_device_may_not_vouch_for_another() -> None:
    device = issue("device-001", INTERMEDIATE, ca=False)
    forged = device.leaf("device-002")
    assert_problem(find([forged, device, INTERMEDIATE], ROOT), PathFault.NOT_A_CA, "'CN=device-001'")


def test_key_usage_counts_when_present() -> None:
    intermediate = ROOT.ca("I", cert_sign=False)
    assert_problem(find([intermediate.leaf(), intermediate], ROOT), PathFault.NOT_A_CA, "key usage")
    intermediate = ROOT.ca("I", cert_sign=True)
    leaf = intermediate.leaf()
    assert_path(find([leaf, intermediate], ROOT), leaf, intermediate, ROOT)


def test_path_length() -> None:
    root = issue("R", path_length=0)
    leaf = root.leaf()
    assert_path(find([leaf], root), leaf, root)
    intermediate = root.ca("I")
    below = intermediate.leaf()
    assert_problem(find([below, intermediate], root), PathFault.PATH_TOO_LONG, "'CN=R' allows 0", "the chain has 1")
    assert_path(find([below], intermediate), below, intermediate)


def test_self_issued_certificates_do_not_count_for_the_path_length() -> None:
    root = issue("R", path_length=0)
    renewed = root.ca("R")
    leaf = renewed.leaf()
    assert_path(find([leaf, renewed], root), leaf, renewed, root)


@pytest.mark.parametrize("which", ["leaf", "intermediate", "root"])
def test_weak_keys(which: str) -> None:
    weak: Options = {"key": rsa_key(1024)}
    root = issue("R", **(weak if which == "root" else {}))
    intermediate = root.ca("I", **(weak if which == "intermediate" else {}))
    leaf = intermediate.leaf(**(weak if which == "leaf" else {}))
    assert_problem(find([leaf, intermediate], root), PathFault.TOO_WEAK, "1024")


def test_weak_signatures_count_only_where_they_prove_something() -> None:
    root = issue("R", hash=hashes.SHA224())
    intermediate = root.ca("I", hash=hashes.SHA224())
    leaf = intermediate.leaf()
    assert_problem(find([leaf, intermediate], root), PathFault.TOO_WEAK, "'CN=I'", "SHA224")
    assert_path(find([leaf], intermediate), leaf, intermediate)
    weak_leaf = intermediate.leaf(hash=hashes.SHA224())
    assert_problem(find([weak_leaf], intermediate), PathFault.TOO_WEAK, "'CN=device-001'")


def test_sha1_is_called_weak_not_forged() -> None:
    root = issue("R", key=rsa_key())
    sha256, sha1 = bytes.fromhex("2a864886f70d01010b"), bytes.fromhex("2a864886f70d010105")
    leaf = parse_der(root.leaf().der.replace(sha256, sha1))
    assert_problem(find([leaf], root), PathFault.TOO_WEAK, "SHA1")
    assert judge_leaf(leaf, now=NOW) is None  # a pinned certificate needs no signature


@pytest.mark.parametrize("which", ["leaf", "intermediate", "root"])
@pytest.mark.parametrize(
    "extension",
    [unknown_extension(), (lib.NameConstraints([lib.DirectoryName(name("x"))], None), True)],
    ids=["unknown", "name constraints"],
)
def test_critical_extensions_that_are_not_understood(which: str, extension: tuple[lib.ExtensionType, bool]) -> None:
    strange: Options = {"extra": (extension,)}
    root = issue("R", **(strange if which == "root" else {}))
    intermediate = root.ca("I", **(strange if which == "intermediate" else {}))
    leaf = intermediate.leaf(**(strange if which == "leaf" else {}))
    oid = extension[0].oid.dotted_string
    assert_problem(find([leaf, intermediate], root), PathFault.UNKNOWN_CRITICAL_EXTENSION, oid)


def test_extensions_that_are_not_critical_are_ignored() -> None:
    leaf = ROOT.leaf(extra=((unknown_extension()[0], False),))
    assert_path(find([leaf], ROOT), leaf, ROOT)


# ---------------------------------------------------------------- hostile chains


def test_loops_end() -> None:
    a_key, b_key = ec_key(), ec_key()
    a_self, b_self = issue("A", key=a_key), issue("B", key=b_key)
    a_by_b, b_by_a = b_self.ca("A", key=a_key), a_self.ca("B", key=b_key)
    leaf = a_self.leaf()
    for rest in itertools.permutations([a_by_b, b_by_a, a_self, b_self]):
        assert_problem(find([leaf, *rest], ROOT), PathFault.NO_ANCHOR)
    assert_path(find([leaf, a_by_b, b_by_a], b_self), leaf, a_by_b, b_self)


def test_a_chain_may_be_too_long() -> None:
    assert_problem(find([LEAF] * 11, INTERMEDIATE), PathFault.TOO_MANY_CERTIFICATES, "11", "10")


def test_repeated_certificates_are_harmless() -> None:
    assert_path(find([LEAF, *[LEAF] * 4, *[INTERMEDIATE] * 5], ROOT), LEAF, INTERMEDIATE, ROOT)


def test_the_work_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nine presented CA certificates of one name and key all issue each other, below fifty namesake anchors."""
    key = ec_key()
    first = issue("CA", key=key, key_ids=False)
    rest = [first, *(first.ca("CA", key=key, key_ids=False) for _ in range(8))]
    leaf = first.leaf(key_ids=False)
    anchors = [issue("CA", key_ids=False) for _ in range(50)]
    checks = 0

    def counted(child: Certificate, issuer: Certificate, *, shared: bool) -> bool:
        nonlocal checks
        checks += 1
        return is_issued_by(child, issuer, shared=shared)

    monkeypatch.setattr(x509_path, "is_issued_by", counted)
    assert_problem(find([leaf, *rest], *anchors), PathFault.TOO_MUCH_WORK, "40")
    assert checks == 40
    checks = 0
    assert_problem(find([leaf, *rest]), PathFault.NO_ANCHOR)
    assert checks == 9  # each certificate is climbed to once, however many ways lead there


def test_a_hundred_groups_of_one_name_cost_one_check(monkeypatch: pytest.MonkeyPatch) -> None:
    anchors = [issue("CA") for _ in range(100)]
    leaf = anchors[57].leaf()
    monkeypatch.setattr(x509_path, "MAX_SIGNATURE_CHECKS", 1)
    assert_path(find([leaf], *anchors), leaf, anchors[57])


# ---------------------------------------------------------------- remembered signatures


@pytest.fixture
def remembered(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, str], None]:
    signatures: dict[tuple[str, str], None] = {}
    monkeypatch.setattr(x509_path, "_good_signatures", signatures)
    return signatures


def pair(child: Certificate | Issued, issuer: Issued) -> tuple[str, str]:
    certificate = child.certificate if isinstance(child, Issued) else child
    return certificate.info.sha256_thumbprint, issuer.certificate.info.sha256_thumbprint


def test_only_signatures_above_the_leaf_are_remembered(remembered: dict[tuple[str, str], None]) -> None:
    for leaf in (LEAF, INTERMEDIATE.ca("device-002")):  # a leaf that claims to be a CA is a leaf all the same
        for _ in range(2):
            assert_path(find([leaf, INTERMEDIATE], ROOT), leaf, INTERMEDIATE, ROOT)
            assert list(remembered) == [pair(INTERMEDIATE, ROOT)]


def test_a_remembered_signature_spares_only_its_own_check(remembered: dict[tuple[str, str], None]) -> None:
    impostor = issue("Root", key_ids=False)
    forged = impostor.ca("Intermediate", key_ids=False)
    stray = issue("Elsewhere")
    remembered[pair(stray, ROOT)] = None
    assert is_issued_by(stray.certificate, ROOT.certificate, shared=True)
    assert not is_issued_by(stray.certificate, ROOT.certificate)
    assert not is_issued_by(forged.certificate, ROOT.certificate, shared=True)
    assert pair(forged, ROOT) not in remembered


def test_a_remembered_signature_does_not_outlive_its_certificate() -> None:
    short = ROOT.ca("Short", ends=NOW + DAY)
    leaf = short.leaf()
    anchors = CertificateIndex([ROOT.certificate])
    chain = [leaf, short.certificate]
    assert_path(find_anchor(chain, anchors, now=NOW), leaf, short, ROOT)
    assert_problem(find_anchor(chain, anchors, now=NOW + 2 * DAY), PathFault.EXPIRED, "Short")


def test_remembered_signatures_are_bounded(
    remembered: dict[tuple[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(x509_path, "_REMEMBERED_SIGNATURES", 2)
    children = [ROOT.ca(f"Intermediate {number}") for number in range(3)]
    for child in children:
        assert is_issued_by(child.certificate, ROOT.certificate, shared=True)
    assert list(remembered) == [pair(child, ROOT) for child in children[1:]]


# ---------------------------------------------------------------- single certificates


def test_a_pinned_leaf_is_judged_by_itself() -> None:
    assert judge_leaf(LEAF, now=NOW) is None
    assert_problem(judge_leaf(LEAF, now=NOW + 2 * YEAR), PathFault.EXPIRED)
    assert_problem(judge_leaf(ROOT.leaf(key=rsa_key(1024)), now=NOW), PathFault.TOO_WEAK)


def test_proof_of_possession() -> None:
    assert is_issued_by(ROOT.leaf("0123456789ABCDEF"), ROOT.certificate)
    assert not is_issued_by(issue("0123456789ABCDEF", issue("Root")).certificate, ROOT.certificate)
    assert not is_issued_by(LEAF, ROOT.certificate)
