"""How many TLS records are complete, however the network cuts them."""

from hypothesis import given
from hypothesis import strategies as st

from homeport.net.tls_reading import Records

records = st.lists(st.binary(max_size=40).map(lambda content: b"\x17\x03\x03" + len(content).to_bytes(2) + content))


@given(records, st.data())
def test_records_are_counted_when_they_are_complete(sent: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)))))
    ends = [len(b"".join(sent[:count])) for count in range(1, len(sent) + 1)]
    counter = Records()
    assert counter.between
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        complete = counter.feed(stream[begin:end])
        assert complete == sum(begin < place <= end for place in ends)
        assert counter.between == (end in {0, *ends})
    assert counter.between
