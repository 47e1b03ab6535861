"""AWS IAM, where moto has no state of its own: the root user, dates, and the credential report.

State of an account (region ``aws``): ``root`` (fields of GetAccountSummary, ``virtual_mfa``),
``created`` (ISO dates, by user name or access key id) and ``credential_report`` (columns of the
report that differ, by user; ``<root_account>`` adds its row), and ``certificates`` (ISO dates on
which they expire, by name; moto's expired in 2012).
"""

from __future__ import annotations

import csv
import io
import json
from functools import cache
from typing import Any

from moto.core.responses import ActionResult
from moto.iam.aws_managed_policies import aws_managed_policies_data
from moto.iam.models import AWSManagedPolicy
from moto.iam.responses import IamResponse

from tests.emulator.clock import now, to_datetime
from tests.emulator.kit import state

moto_list_users = IamResponse.list_users
moto_list_access_keys = IamResponse.list_access_keys
moto_summary = IamResponse.get_account_summary
moto_attach = IamResponse.attach_role_policy
moto_report = IamResponse.get_credential_report
moto_virtual_devices = IamResponse.list_virtual_mfa_devices
moto_certificates = IamResponse.list_server_certificates


def seeded(self: IamResponse, key: str) -> Any:
    return state("iam", self.current_account, "aws", key)


def date_what_is_seeded(self: IamResponse) -> None:
    dates = seeded(self, "created")
    for user in self.backend.users.values():
        for each, name in ((user, user.name), *((k, k.access_key_id) for k in user.access_keys)):
            if name in dates:
                each.create_date = to_datetime(dates[name]).replace(tzinfo=None)


def list_users(self: IamResponse) -> ActionResult:
    date_what_is_seeded(self)
    return moto_list_users(self)


def list_access_keys(self: IamResponse) -> ActionResult:
    date_what_is_seeded(self)
    return moto_list_access_keys(self)


def get_account_summary(self: IamResponse) -> ActionResult:
    answer = moto_summary(self).result
    root = {k: v for k, v in seeded(self, "root").items() if k != "virtual_mfa"}
    return ActionResult(
        {"SummaryMap": {**answer["SummaryMap"], "AccountPasswordPresent": 1, **root}}
    )


def list_virtual_mfa_devices(self: IamResponse) -> ActionResult:
    answer = dict(moto_virtual_devices(self).result)
    if seeded(self, "root").get("virtual_mfa"):
        root = f"arn:aws:iam::{self.current_account}:root"
        device = {
            "SerialNumber": root.replace(":root", ":mfa/root-account-mfa-device"),
            "User": {"UserId": self.current_account, "Arn": root, "CreateDate": now()},
            "EnableDate": now(),
        }
        answer["VirtualMFADevices"] = [*answer["VirtualMFADevices"], device]
    return ActionResult(answer)


def list_server_certificates(self: IamResponse) -> ActionResult:
    answer = moto_certificates(self)
    expires = seeded(self, "certificates")
    for each in answer.result["ServerCertificateMetadataList"]:
        if each["ServerCertificateName"] in expires:
            each["Expiration"] = to_datetime(expires[each["ServerCertificateName"]])
    return answer


def get_credential_report(self: IamResponse) -> ActionResult:
    """The report of now (moto's is of 2015), with the root user's row and what is seeded."""
    date_what_is_seeded(self)
    rows = list(csv.DictReader(io.StringIO(moto_report(self).result["Content"])))
    columns = self.backend.get_credential_report().splitlines()[0].split(",")
    root = dict.fromkeys(columns, "N/A") | {
        "user": "<root_account>",
        "arn": f"arn:aws:iam::{self.current_account}:root",
        "password_enabled": "not_supported",
        "password_last_used": "no_information",
        "mfa_active": "false",
        "access_key_1_active": "false",
        "access_key_2_active": "false",
    }
    text = io.StringIO()
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    for row in (root, *rows):
        if row["password_last_used"] == "not_supported":
            row["password_last_used"] = "N/A"
        writer.writerow({**row, **seeded(self, "credential_report").get(row["user"], {})})
    report = {"Content": text.getvalue(), "ReportFormat": "text/csv", "GeneratedTime": now()}
    return ActionResult(report)


@cache
def managed_by_aws() -> dict[str, Any]:
    policies: dict[str, Any] = json.loads(aws_managed_policies_data)
    return policies


def attach_role_policy(self: IamResponse) -> ActionResult:
    """A policy of AWS's exists as soon as it is attached (moto knows all of them, or none)."""
    arn = self._get_param("PolicyArn")
    name = arn.rsplit("/", 1)[-1]
    known = self.backend.managed_policies
    if arn not in known and ":iam::aws:" in arn and name in managed_by_aws():
        made = AWSManagedPolicy.from_data(
            name, self.current_account, self.region, managed_by_aws()[name]
        )
        known[made.arn] = made
        self.backend.aws_managed_policies.append(made)
    return moto_attach(self)


def install() -> None:
    IamResponse.attach_role_policy = attach_role_policy
    IamResponse.list_users = list_users
    IamResponse.list_access_keys = list_access_keys
    IamResponse.get_account_summary = get_account_summary
    IamResponse.list_virtual_mfa_devices = list_virtual_mfa_devices
    IamResponse.get_credential_report = get_credential_report
    IamResponse.list_server_certificates = list_server_certificates
