"""A queue with the keys' configuration keeps what it was told when its process is killed."""

import pytest
import redis

pytestmark = pytest.mark.redis

TWO_WRITES = "redis.call('SET', KEYS[1], '1') redis.call('SET', KEYS[2], '2') return 1"


def test_what_was_written_in_one_step_is_there_after_a_kill(own_tls_redis):
    keys = ["danzar:jobs:one", "danzar:jobs:two"]
    with redis.Redis.from_url(own_tls_redis.address("pc2").text) as node:
        node.eval(TWO_WRITES, 2, *keys)
    own_tls_redis.restart()
    with own_tls_redis.admin() as client:
        assert client.mget(keys) == [b"1", b"2"]


@pytest.mark.parametrize("password", ["", "default", "x"])
def test_nobody_logs_in_as_the_user_that_reads_the_file_back(tls_redis, password):
    after = tls_redis.address("main").text.partition("@")[2]
    with (
        redis.Redis.from_url(f"rediss://default:{password}@{after}") as client,
        pytest.raises(redis.AuthenticationError),
    ):
        client.set("danzar:jobs:one", "1")
