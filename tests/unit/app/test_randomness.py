from homeport.app.randomness import PooledRandom


def test_bytes_are_as_many_as_were_asked_for_and_never_the_same_twice() -> None:
    random = PooledRandom()
    for size in (1, 6, 16, 17, 64):
        given = [random(size) for _ in range(2000)]
        assert {len(each) for each in given} == {size}
        assert size < 6 or len(set(given)) == len(given)
