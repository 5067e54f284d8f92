"""ZeRO for workers of tests: the default leaves parameters of small models whole under ZeRO-3."""

from brainfm import strategies
from brainfm.strategies import ZeroStrategy


class ShardingAll(ZeroStrategy):
    """ZeRO that shards parameters of any size."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.config["zero_optimization"]["stage3_param_persistence_threshold"] = 0


def shard_all():
    """Let the names ``zero_1`` to ``zero_3`` mean that strategy in this process."""
    strategies.ZeroStrategy = ShardingAll
