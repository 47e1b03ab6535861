"""Systems Manager: install or remove packages of Distributor."""

from __future__ import annotations

from c7n.utils import type_schema

from c7n_secops_ssm.action import SCHEMA, CommandAction
from c7n_secops_ssm.commands import Operation

RESOURCES = ("aws.ec2",)


class SsmPackage(CommandAction):
    """Installs or removes packages on instances, with AWS-ConfigureAWSPackage.

    Each of ``packages`` is a package of Distributor: AWS's (AmazonCloudWatchAgent), a vendor's, or
    one of your own. ``version`` is the latest unless set, ``action`` Install or Uninstall.
    ``installation-type`` says how an installed package is replaced: "Uninstall and reinstall" (the
    default, during which its application is off) or "In-place update" (where the package has an
    update script). The ``cooldown`` is of each package.

    Distributor needs agent 2.3.274.0, the default of ``min-agent``.

    {options}

    :example:

    .. code-block:: yaml

        policies:
          - name: ec2-install-agents
            resource: aws.ec2
            filters:
              - type: ssm-agent
                ping-status: [Online]
            actions:
              - type: ssm-package
                packages:
                  - name: AmazonCloudWatchAgent
                  - name: AmazonEFSUtils
                    action: Uninstall
    """

    schema = type_schema(
        "ssm-package",
        required=["packages"],
        packages={
            "type": "array",
            "minItems": 1,
            "maxItems": 20,
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["name"],
                "properties": {
                    "name": {"type": "string", "pattern": "^[a-zA-Z0-9:/_.-]{1,128}$"},
                    "version": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$"},
                    "action": {"enum": ["Install", "Uninstall"]},
                    "installation-type": {"enum": ["Uninstall and reinstall", "In-place update"]},
                },
            },
        },
        **SCHEMA,
    )
    permissions = CommandAction.permissions
    document = "AWS-ConfigureAWSPackage"
    min_agent = "2.3.274.0"

    def operations(self) -> list[Operation]:
        return [self._operation(package) for package in self.data["packages"]]

    def _operation(self, package: dict[str, str]) -> Operation:
        action = package.get("action", "Install")
        parameters = {"action": [action], "name": [package["name"]]}
        if "version" in package:
            parameters["version"] = [package["version"]]
        if "installation-type" in package:
            parameters["installationType"] = [package["installation-type"]]
        return Operation(f"{action} {package['name']}", parameters, identity=("name",))
