"""A pack of one policy with its cases, for tests of what runs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from click.testing import CliRunner

from c7n_secops_tools.cases.command import test as command

POLICY = """
policies:
  - name: unowned
    resource: aws.ec2
    filters:
      - "State.Name": running
      - "tag:owner": absent
    actions:
      - type: tag
        tags: {owner: "{owner}"}
"""
INSTANCES = """
  resources:
  - {InstanceId: i-1, State: {Name: running}}
  - {InstanceId: i-2, State: {Name: stopped}}
  - {InstanceId: i-3, State: {Name: running}, Tags: [{Key: owner, Value: ana}]}
"""
CASE = f"""
- name: a running instance without an owner is tagged
  policy: unowned
  vars: {{owner: nobody}}{INSTANCES}  expect:
    matched: [i-1]
    calls:
    - call: ec2:CreateTags
      params: {{Resources: [i-1], Tags: [{{Key: owner, Value: nobody}}]}}
"""
EVENT = {
    "source": "acme",
    "detail-type": "Launched",
    "account": "111122223333",
    "region": "us-east-1",
    "detail": {"instance": "i-11111111"},
}
EVENT_POLICY = """
policies:
  - name: launched
    resource: aws.ec2
    mode:
      type: eventbridge
      pattern: {source: [acme], detail-type: [Launched]}
      ids: detail.instance
      role: arn:aws:iam::{account_id}:role/lambda
    filters:
      - "tag:owner": absent
    actions:
      - type: tag
        tags: {launched: "{account_id}"}
"""


TAGS = [{"Key": "Name", "Value": "web"}]


class Pack:
    """A pack of one policy file and its cases, and the command on it."""

    def __init__(self, folder: Path):
        self.folder = folder / "pack"
        (self.folder / "tests").mkdir(parents=True)
        self.policies = self.folder / "file.yml"
        self.cases = self.folder / "tests" / "file.yml"
        self.policies.write_text(POLICY)

    def __call__(self, cases: str, *options: str, policies: str = POLICY) -> tuple[int, str]:
        """Run the cases, the items of the list; give the exit code and what was printed."""
        return self.whole(f"cases:\n{cases}", *options, policies=policies)

    def whole(self, text: str, *options: str, policies: str = POLICY) -> tuple[int, str]:
        self.policies.write_text(policies)
        self.cases.write_text(text)
        return self.command(str(self.folder), *options)

    def command(self, *arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(command, arguments)
        return done.exit_code, done.output


def case(**parts: Any) -> str:
    """One case, as the item of the list."""
    return yaml.safe_dump([{"name": "a case", "policy": "unowned", **parts}], sort_keys=False)


def pull(policy: dict[str, Any]) -> str:
    return yaml.safe_dump({"policies": [{"name": "unowned", "resource": "aws.ec2", **policy}]})
