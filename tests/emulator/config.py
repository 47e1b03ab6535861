"""AWS Config: a rule that does not exist is an error, also where there is no rule at all.

State of one account and region is moto's.
"""

from __future__ import annotations

from typing import Any

from moto.config.exceptions import NoSuchConfigRuleException
from moto.config.models import ConfigBackend

moto_describe_config_rules = ConfigBackend.describe_config_rules


def describe_config_rules(
    self: ConfigBackend, config_rule_names: list[str] | None, next_token: str | None
) -> dict[str, Any]:
    if config_rule_names and not self.config_rules:
        raise NoSuchConfigRuleException(config_rule_names[0])
    return moto_describe_config_rules(self, config_rule_names, next_token)


def install() -> None:
    ConfigBackend.describe_config_rules = describe_config_rules
