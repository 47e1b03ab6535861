"""Amazon SNS, where moto differs: a topic counts its subscriptions; e-mail stays unconfirmed."""

from __future__ import annotations

from typing import Any

from moto.sns.models import SNSBackend

moto_subscribe = SNSBackend.subscribe


def subscribe(self: SNSBackend, topic_arn: str, endpoint: str, protocol: str) -> Any:
    made = moto_subscribe(self, topic_arn, endpoint, protocol)
    mine = [s for s in self.subscriptions.values() if s.topic.arn == topic_arn]
    waiting = [s for s in mine if s.protocol.startswith("email")]
    made.topic.subscriptions_pending = len(waiting)
    made.topic.subscriptions_confimed = len(mine) - len(waiting)
    return made


def install() -> None:
    SNSBackend.subscribe = subscribe
