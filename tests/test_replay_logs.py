"""The command c7n-secops replay-logs: logs of the past, and who would have been blocked."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from c7n_secops_tools.replay_logs.command import replay_logs
from tests.harness import Cli

START = datetime(2026, 1, 31, 12, 0, tzinfo=timezone.utc)
FIELDS = "date time x-edge-location c-ip cs-method cs-uri-stem sc-status cs(User-Agent)"
FLOODER, BYSTANDER = "66.249.70.1", "66.249.80.2"

Request = tuple[int, str]
"""The seconds after the start, and who asks."""
Replay = Callable[..., Result]


def write_log(path: Path, requests: Iterable[Request], *, cut: int = 0) -> None:
    """A log of CloudFront; ``cut`` takes so many bytes off its end."""
    lines = ["#Version: 1.0", f"#Fields: {FIELDS}"]
    for second, address in requests:
        at = START + timedelta(seconds=second)
        lines.append(
            f"{at:%Y-%m-%d}\t{at:%H:%M:%S}\tFRA56-P4\t{address}\tGET\t/index.html\t200\tcurl/8"
        )
    data = gzip.compress("\n".join([*lines, ""]).encode(), mtime=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data[: len(data) - cut])


def policy(*, block: dict[str, Any] | None = None, **flood: Any) -> dict[str, Any]:
    rules = [{"name": "flood", "metric": "requests", "threshold": 100, "window": 5}]
    made: dict[str, Any] = {
        "name": "block-floods",
        "resource": "aws.distribution",
        "filters": [{"or": [{"type": "http-flood", "rules": rules, **flood}]}],
    }
    if block is not None:
        made["actions"] = [{"type": "waf-ip-block", "name": "ring", "from": "annotation", **block}]
    return made


BLOCKING = policy(block={"duration": 240, "slots": 6})


@pytest.fixture
def replay(tmp_path: Path) -> Replay:
    """``replay("--rate-limit", "10/60", policies=[...])`` over the folder ``logs``."""

    def run(*options: str | Path, policies: Any = (BLOCKING,), **env: str) -> Result:
        file = tmp_path / "policy.yml"
        file.write_text(yaml.safe_dump({"policies": list(policies)}))
        words = [str(tmp_path / "logs"), str(file), *map(str, options)]
        return CliRunner().invoke(replay_logs, words, env=env)

    return run


def answer(result: Result, code: int = 0) -> dict[str, Any]:
    assert result.exit_code == code, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def flood(address: str = FLOODER, *, minute: int = 0, number: int = 150) -> list[Request]:
    return [(minute * 60 + index % 60, address) for index in range(number)]


# --- who is blocked, and how long -----------------------------------------------------------------


def test_who_floods_is_blocked_from_the_minute_it_shows_and_who_does_not_is_not(tmp_path, replay):
    write_log(tmp_path / "logs" / "a.gz", [*flood(number=60), *flood(BYSTANDER, number=99)])
    write_log(tmp_path / "logs" / "sub" / "b.gz", flood(minute=2, number=60))
    found = answer(replay("--format", "json"))
    assert found["policy"] == "block-floods"
    assert found["logs"]["files"] == 2
    (offender,) = found["offenders"]
    assert offender["address"] == f"{FLOODER}/32"
    assert (offender["rule"], offender["count"]) == ("flood", 120)
    assert offender["blocked"] is True
    assert offender["reason"] == ""
    assert offender["blocked_from"] == "2026-01-31T12:03Z"
    assert found["rate_limit"] is None


@pytest.mark.parametrize(
    ("minute", "block", "until", "latest"),
    [
        # slots of one hour: found at 12:01, the slot of 12:00 holds until 13:00 and four hours
        (0, {"duration": 240, "slots": 6}, "17:00", "17:00"),
        # found at 12:51, and again until 13:11, in the slot after
        (50, {"duration": 240, "slots": 6}, "17:00", "18:00"),
        # slots of 40 minutes, counted from 1970: 12:00 to 12:40
        (0, {"duration": 40, "slots": 3}, "13:20", "13:20"),
        (0, {}, "17:00", "17:00"),
    ],
)
def test_a_block_ends_as_the_ring_of_the_policy_does(
    tmp_path, replay, minute, block, until, latest
):
    write_log(tmp_path / "logs" / "a.gz", flood(minute=minute))
    flooding = policy(block=block, lookback=20)
    (offender,) = answer(replay("--format", "json", policies=[flooding]))["offenders"]
    assert offender["blocked_until"] == f"2026-01-31T{until}Z"
    assert offender["blocked_until_at_the_latest"] == f"2026-01-31T{latest}Z"
    found = datetime.fromisoformat(offender["blocked_from"].replace("Z", "+00:00"))
    lives = datetime.fromisoformat(offender["blocked_until"].replace("Z", "+00:00")) - found
    duration, slots = block.get("duration", 240), block.get("slots", 6)
    assert duration <= lives / timedelta(minutes=1) <= duration * (slots - 1) / (slots - 2)


def test_the_time_until_a_log_is_read_delays_a_block(tmp_path, replay):
    write_log(tmp_path / "logs" / "a.gz", flood())
    (offender,) = answer(replay("--format", "json", "--delay", "75"))["offenders"]
    assert offender["blocked_from"] == "2026-01-31T13:16Z"
    assert offender["blocked_until"] == "2026-01-31T18:00Z"


@pytest.mark.parametrize(
    ("address", "block", "options", "reason"),
    [
        (FLOODER, {"allow": {"addresses": ["66.249.64.0/19"]}}, (), "allow list"),
        ("10.1.2.3", {}, (), "not an address of the public internet"),
        (FLOODER, {}, ("--allow",), "allow list"),
    ],
)
def test_who_is_spared_is_shown_with_the_reason(tmp_path, replay, address, block, options, reason):
    (tmp_path / "allow.txt").write_text(f"# our tests\n{FLOODER}  # the gateway\n\n")
    write_log(tmp_path / "logs" / "a.gz", [*flood(address), *flood("66.249.99.1", number=101)])
    given = [*options, tmp_path / "allow.txt"] if options else []
    found = answer(replay("--format", "json", *given, policies=[policy(block=block)]))
    spared, blocked = found["offenders"]
    assert spared["address"] == f"{address}/32"
    assert spared["blocked"] is False
    assert reason in spared["reason"]
    assert spared["blocked_from"] == spared["blocked_until"] == ""
    assert blocked["blocked"] is True


def test_what_needs_an_account_is_said_not_to_be_known(tmp_path, replay):
    write_log(tmp_path / "logs" / "a.gz", flood())
    many = [*flood(), *flood("66.249.99.1")]
    write_log(tmp_path / "logs" / "a.gz", many)
    url = "s3://configuration/allow.csv"
    block = {"allow": {"value_from": {"url": url}}, "max-new": 1}
    unread, list_, breaker = answer(replay("--format", "json", policies=[policy(block=block)]))[
        "notes"
    ]
    assert "own-eips, route53-healthchecks, cloudfront" in unread
    assert url in list_
    assert "max-new is 1" in breaker
    counting = policy(block={"protect": ["private"], "rule-action": "count"})
    (note,) = answer(replay("--format", "json", policies=[counting]))["notes"]
    assert "only counts" in note
    quiet = policy(block={"protect": ["private"]})
    assert answer(replay("--format", "json", policies=[quiet]))["notes"] == []


def test_a_policy_that_only_finds_blocks_nobody(tmp_path, replay):
    write_log(tmp_path / "logs" / "a.gz", flood())
    (offender,) = answer(replay("--format", "json", policies=[policy()]))["offenders"]
    assert offender["blocked"] is False
    assert offender["reason"] == "the policy has no waf-ip-block"


# --- a rate-based rule ----------------------------------------------------------------------------


def rate_of(result: Result) -> dict[str, Any]:
    found: dict[str, Any] = answer(result)["rate_limit"]
    return found


def test_a_load_test_of_ten_users_passes_and_the_same_from_one_address_does_not(tmp_path, replay):
    users = [f"66.249.64.{number}" for number in range(10)]
    load = [(index % 100, users[index % 10]) for index in range(2000)]
    write_log(tmp_path / "logs" / "a.gz", load)
    found = rate_of(replay("--format", "json", "--rate-limit", "1999/300"))
    assert (found["addresses"], found["addresses_over"], found["requests"]) == (10, 0, 2000)
    assert {row["most_in_window"] for row in found["rows"]} == {200}
    write_log(tmp_path / "logs" / "a.gz", [(second, FLOODER) for second, _ in load])
    found = rate_of(replay("--format", "json", "--rate-limit", "1999/300"))
    assert found["blocked"] == {"0": 1, "10": 0, "30": 0}
    found = rate_of(replay("--format", "json", "--rate-limit", "2000/300"))
    assert (found["addresses_over"], found["blocked"]["0"]) == (0, 0)


def test_what_is_blocked_depends_on_how_late_waf_notices(tmp_path, replay):
    steady = [(second, FLOODER) for second in range(60) for _ in range(20)]
    write_log(tmp_path / "logs" / "a.gz", [*steady, (5, BYSTANDER)])
    found = rate_of(replay("--format", "json", "--rate-limit", "200/60"))
    over, other = found["rows"]
    assert over["address"] == f"{FLOODER}/32"
    assert over["first_over"] == "2026-01-31T12:00:10Z"
    assert (over["requests"], over["most_in_window"]) == (1200, 1200)
    # more than 200 in the window from second 10 on: 50, 40 and 20 seconds of 20 are left
    assert over["blocked"] == {"0": 1000, "10": 800, "30": 400}
    assert found["blocked"] == over["blocked"]
    assert other["address"] == f"{BYSTANDER}/32"
    assert other["first_over"] == ""
    assert other["blocked"] == {"0": 0, "10": 0, "30": 0}


@pytest.mark.parametrize(
    ("window", "second", "over"), [(60, 60, 0), (60, 59, 1), (120, 60, 1), (600, 599, 1)]
)
def test_requests_leave_the_window(tmp_path, replay, window, second, over):
    twice = [*[(0, FLOODER)] * 10, *[(second, FLOODER)] * 10]
    write_log(tmp_path / "logs" / "a.gz", twice)
    found = rate_of(replay("--format", "json", "--rate-limit", f"19/{window}"))
    assert found["addresses_over"] == over
    assert found["rows"][0]["most_in_window"] == 10 + 10 * over


def test_blocked_requests_count_as_well_and_late_it_also_ends_late(tmp_path, replay):
    burst = [(0, FLOODER)] * 100
    after = [(second, FLOODER) for second in range(1, 100)]
    write_log(tmp_path / "logs" / "a.gz", [*burst, *after])
    found = rate_of(replay("--format", "json", "--rate-limit", "100/60"))
    (row,) = found["rows"]
    # one a second is over until the burst leaves the window: at second 60, 70 or 90
    assert row["blocked"] == {"0": 59, "10": 59, "30": 59}


def test_addresses_of_one_ipv6_network_are_counted_one_by_one(tmp_path, replay):
    pair = [(0, f"2a00:1450:4001:830::{number}") for number in (1, 2) for _ in range(10)]
    write_log(tmp_path / "logs" / "a.gz", pair)
    found = rate_of(replay("--format", "json", "--rate-limit", "19/60"))
    assert (found["addresses"], found["addresses_over"]) == (2, 0)


def test_the_busiest_of_those_under_the_limit_are_shown(tmp_path, replay):
    many = [(0, f"66.249.64.{host}") for host in range(30) for _ in range(host + 1)]
    write_log(tmp_path / "logs" / "a.gz", many)
    found = rate_of(replay("--format", "json", "--rate-limit", "29/60"))
    assert [row["most_in_window"] for row in found["rows"]] == list(range(30, 19, -1))


def test_a_short_burst_is_found_among_many_who_sent_more_in_all(tmp_path, replay):
    patient = [(minute * 60, f"66.249.64.{host}") for host in range(15) for minute in range(30)]
    almost = [(at, f"66.249.65.{host}") for host in range(15) for at in [0] * 6 + [70] * 6]
    burst = [(at, FLOODER) for at in [59] * 6 + [60] * 6]
    write_log(tmp_path / "logs" / "a.gz", [*patient, *almost, *burst])
    found = rate_of(replay("--format", "json", "--rate-limit", "10/60"))
    over, *others = found["rows"]
    assert (over["address"], over["most_in_window"]) == (f"{FLOODER}/32", 12)
    assert [row["most_in_window"] for row in others] == [6] * 10
    assert found["addresses_over"] == 1


def test_seconds_are_read_in_every_format_of_logs(tmp_path, replay):
    logs = tmp_path / "logs"
    logs.mkdir()
    waf = {
        "timestamp": int(START.timestamp() * 1000),
        "action": "ALLOW",
        "httpRequest": {"clientIp": FLOODER, "uri": "/", "httpMethod": "GET", "headers": []},
    }
    late = {**waf, "timestamp": waf["timestamp"] + 61_000}
    (logs / "waf.log").write_text(
        "".join(json.dumps(row) + "\n" for row in [waf] * 10 + [late] * 10)
    )
    found = rate_of(replay("--format", "json", "--rate-limit", "19/60"))
    assert (found["addresses_over"], found["requests"]) == (0, 20)
    found = rate_of(replay("--format", "json", "--rate-limit", "19/120"))
    assert found["rows"][0]["first_over"] == "2026-01-31T12:01:01Z"
    (logs / "waf.log").unlink()
    fields = "time c-ip date"  # date and time apart
    rows = [f"12:00:{second:02}\t{FLOODER}\t2026-01-31" for second in range(20)]
    (logs / "v2.log").write_text("\n".join([f"#Fields: {fields}", *rows, ""]))
    found = rate_of(replay("--format", "json", "--rate-limit", "19/60"))
    assert found["rows"][0]["first_over"] == "2026-01-31T12:00:19Z"


@pytest.mark.parametrize("text", ["2000", "9/300", "2000/90", "x/60", "3000000000/60", "-1/60"])
def test_a_rate_that_waf_does_not_have_is_refused(tmp_path, replay, text):
    write_log(tmp_path / "logs" / "a.gz", flood())
    result = replay(f"--rate-limit={text}")
    assert result.exit_code != 0
    assert "is no rate such as 2000/300" in result.output


# --- what is printed ------------------------------------------------------------------------------


def test_the_table_says_who_when_and_what_to_bear_in_mind(tmp_path, replay):
    write_log(tmp_path / "logs" / "a.gz", [*flood(), *flood("10.0.0.1")])
    result = replay("--rate-limit", "100/60", COLUMNS="200")
    assert result.exit_code == 0
    for text in (
        "Offenders by policy block-floods",
        f"{FLOODER}/32",
        "2026-01-31T12:01Z",
        "2026-01-31T17:00Z",
        "not an address of the public internet",
        "A rule of 100 requests in 60 s",
        "2 offenders, 1 blocked.",
        "2 of 2 addresses go over the rate limit",
        "route53-healthchecks",
        "usually within 30 seconds",
    ):
        assert text in result.stdout
    assert result.stderr == ""


def test_csv_has_a_row_for_each_offender_and_each_address_over_the_limit(tmp_path, replay):
    write_log(tmp_path / "logs" / "a.gz", [*flood(), *flood(BYSTANDER, number=3)])
    result = replay("--format", "csv", "--rate-limit", "100/60")
    offender, limited = csv.DictReader(io.StringIO(result.stdout))
    assert offender["kind"] == "offender"
    assert offender["address"] == limited["address"] == f"{FLOODER}/32"
    assert offender["blocked_until"] == "2026-01-31T17:00Z"
    assert limited["kind"] == "rate-limit"
    assert (limited["rule"], limited["count"]) == ("100/60", "150")
    assert limited["blocked_requests"] == "50/30/0"


def test_progress_is_shown_on_a_terminal_and_only_there(tmp_path, replay):
    write_log(tmp_path / "logs" / "a.gz", flood())
    assert "Reading logs" in replay(TTY_COMPATIBLE="1", TTY_INTERACTIVE="1").stderr
    assert replay().stderr == ""


def test_no_account_is_needed(tmp_path, offline_cli: Cli):
    write_log(tmp_path / "logs" / "a.gz", flood())
    (tmp_path / "policy.yml").write_text(yaml.safe_dump({"policies": [BLOCKING]}))
    done = offline_cli("c7n-secops", "replay-logs", "logs", "policy.yml", AWS_PROXY="none")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "1 offenders, 1 blocked." in done.stdout


# --- bad input ------------------------------------------------------------------------------------


def test_a_log_that_is_not_whole_is_reported_and_all_the_rest_counted(tmp_path, replay):
    write_log(tmp_path / "logs" / "cut.gz", flood(number=2000), cut=30)
    write_log(tmp_path / "logs" / "whole.gz", flood(BYSTANDER))
    result = replay("--format", "json")
    found = answer(result, code=1)
    assert f"{BYSTANDER}/32" in [row["address"] for row in found["offenders"]]
    assert [Path(name).name for name in found["logs"]["truncated"]] == ["cut.gz"]
    assert "unreadable:" in result.stderr
    assert "cut.gz: truncated" in result.stderr


def test_lines_that_say_nothing_are_counted(tmp_path, replay):
    write_log(tmp_path / "logs" / "a.gz", flood())
    with gzip.open(tmp_path / "logs" / "a.gz", "ab") as log:
        log.write(b"not a request\n\n")
    found = answer(replay("--format", "json", "--rate-limit", "100/60"))
    assert found["logs"]["badLines"] == 2
    assert found["rate_limit"]["requests"] == 150
    assert "2 of them not understood" in replay().stdout


def test_a_folder_without_logs_is_refused(tmp_path, replay):
    (tmp_path / "logs").mkdir()
    result = replay()
    assert result.exit_code == 1
    assert "holds no file" in result.output
    (tmp_path / "logs" / "readme.txt").write_text("no log\n")
    result = replay()
    assert result.exit_code == 1
    assert "no line of the 1 files" in result.output


OTHER = {"name": "other", "resource": "aws.distribution", "filters": [{"Enabled": True}]}


@pytest.mark.parametrize(
    ("policies", "options", "message"),
    [
        ([OTHER], (), "no policy here has the filter http-flood"),
        ([BLOCKING], ("-p", "other"), "has no policy named other"),
        ([BLOCKING, {**BLOCKING, "name": "second"}], (), "choose with -p: block-floods, second"),
        ([policy(block={"duration": "long"})], (), "duration"),
        ([policy(nonsense=True)], (), "nonsense"),
        (["text"], (), "needs a list under policies"),
    ],
)
def test_a_policy_that_cannot_be_replayed_is_refused_with_the_reason(
    tmp_path, replay, policies, options, message
):
    write_log(tmp_path / "logs" / "a.gz", flood())
    result = replay(*options, policies=policies)
    assert result.exit_code == 1
    assert message in result.output


@pytest.mark.parametrize("text", ["policies: [", "just text", "\x00"])
def test_a_file_that_is_no_policy_is_refused(tmp_path, text):
    write_log(tmp_path / "logs" / "a.gz", flood())
    (tmp_path / "bad.yml").write_text(text)
    result = CliRunner().invoke(replay_logs, [str(tmp_path / "logs"), str(tmp_path / "bad.yml")])
    assert result.exit_code == 1
    assert "bad.yml" in result.output


def test_one_of_several_policies_is_chosen_by_name(tmp_path, replay):
    write_log(tmp_path / "logs" / "a.gz", flood())
    second = {**policy(block={}), "name": "second"}
    found = answer(replay("-p", "second", "--format", "json", policies=[OTHER, BLOCKING, second]))
    assert found["policy"] == "second"


def test_an_allow_list_with_a_slip_in_it_spares_nobody_silently(tmp_path, replay):
    write_log(tmp_path / "logs" / "a.gz", flood())
    (tmp_path / "allow.txt").write_text("66.249.70.1/8\n")
    result = replay("--allow", tmp_path / "allow.txt")
    assert result.exit_code == 1
    assert "66.249.70.1/8" in result.output


def test_a_page_that_cannot_be_written_is_said(tmp_path, replay):
    write_log(tmp_path / "logs" / "a.gz", flood())
    result = replay("--html", tmp_path / "policy.yml" / "page.html")
    assert result.exit_code == 1
    assert "cannot write" in result.output
