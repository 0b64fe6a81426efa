"""What a site knows of drift, kind by kind: roads, running releases, machines, traffic, stores."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from controller.drift import machines, packages, roads, running, stores, traffic
from controller.drift.finding import Cause, Finding, Severity, State, Stop
from controller.drift.machines import Machine
from controller.drift.roads import Road
from controller.drift.running import Fleet, Running, Silent
from controller.drift.stores import Collection, Database
from controller.drift.traffic import Load
from controller.rollout.standing import Standing, fold
from infra.outputs import NodeOutput
from tests.tales import TALES, release

# ---- history ------------------------------------------------------------------------------------------------------


def road(*artifacts: str, back: tuple[int, ...] = ()) -> Road:
    return tuple(Stop(name, f"{name}00000", f"Add {name}", n, n in back) for n, name in enumerate(artifacts, 1))


def strayed(source: Road, target: Road) -> list[tuple[str, Severity]]:
    return [(one.what, one.severity) for one in roads.findings("stage", "prod", {"mqtt": source}, {"mqtt": target})]


def test_what_prod_ran_may_leave_out_what_stage_ran() -> None:
    assert strayed(road("a1", "b2", "c3", "d4"), road("a1", "d4")) == []


def test_what_never_ran_in_stage_is_high_while_prod_runs_it_and_low_after() -> None:
    assert strayed(road("a1", "c3"), road("a1", "b2")) == [
        ("b200000 reached prod without passing stage", Severity.HIGH)
    ]
    assert strayed(road("a1", "c3"), road("a1", "b2", "c3")) == [
        ("b200000 reached prod without passing stage", Severity.LOW)
    ]


def test_another_order_than_in_stage_is_said() -> None:
    assert strayed(road("a1", "b2"), road("b2", "a1")) == [
        ("a100000 reached prod in another order than in stage", Severity.MEDIUM)
    ]


def test_going_back_to_what_ran_before_is_no_stray() -> None:
    assert strayed(road("a1", "b2"), road("a1", "b2", "a1", back=(3,))) == []


def test_a_road_is_read_from_a_ledger() -> None:
    (stops,) = roads.roads(TALES["promoted"]().written).values()
    assert (stops[-1].rollout, stops[-1].back, len(stops)) == (TALES["promoted"]().number, False, 10)
    (before,) = roads.roads(TALES["reverted"]().written).values()
    assert before[-1].rollout < TALES["reverted"]().number  # what was taken back never ran for good


# ---- release ------------------------------------------------------------------------------------------------------

NODE = NodeOutput(
    name="bos-a", zone="BOS", app="mqtt", root="/srv/bos-a", transport="local", address="", observe_url="", fronts={},
    observe_token="t", listens={}, backends=("http",),
)  # fmt: skip
FLEET = Fleet("prod", (NODE,), ("python3", "node.pyz"))
GOOD, OTHER = release("mqtt", "b02d5a1").digest, release("mqtt", "41aa09c").digest
PROMOTED = Standing(promoted={"mqtt": release("mqtt", "b02d5a1")})


def found(said: Running | Silent) -> list[Finding]:
    return [*running.findings(FLEET, PROMOTED, {"bos-a": said})]


def test_a_node_that_runs_what_was_promoted_is_no_finding() -> None:
    assert found(Running(GOOD, GOOD)) == []


def test_a_release_nobody_promoted_comes_with_the_nodes_own_way_back() -> None:
    said = Running(OTHER, OTHER, staged=frozenset({GOOD, OTHER}), generation=7, ended=frozenset({"prod-r7", "prod-r6"}))
    (one,) = found(said)
    assert (one.what, one.severity, one.removed) == ("bos-a runs a release nobody promoted", Severity.HIGH, False)
    token = running.once(said)
    assert one.remedies[0].does == (
        f"python3 node.pyz /srv/bos-a return --from {OTHER} --to {GOOD} --token {token} --generation 7"
    )
    again = replace(said, ended=said.ended | {token})
    assert found(replace(said, ended=frozenset(sorted(said.ended)))) == [one]
    assert token not in found(again)[0].remedies[0].does  # a node obeys each return once


def test_beside_a_release_nobody_promoted_stands_what_is_promoted_elsewhere() -> None:
    said = Running(OTHER, OTHER)
    found = running.findings(FLEET, PROMOTED, {"bos-a": said}, {"stage": PROMOTED, "dev": Standing()})
    assert [one.values for one in found] == [{"stage": running.short(GOOD), "prod": f"{running.short(OTHER)} on bos-a"}]


def test_a_node_that_runs_nothing_is_gone_and_cannot_be_waived() -> None:
    (one,) = found(Running(None, GOOD))
    assert (one.what, one.removed) == ("bos-a runs nothing", True)


def test_a_file_that_was_changed_on_the_node_is_named() -> None:
    (one,) = found(Running(GOOD, GOOD, changed=("apps/mqtt/reads/web.py",), changed_in_all=1))
    assert one.what == "1 file of bos-a's release is not as staged"
    assert "apps/mqtt/reads/web.py" in one.why and one.remedies[0].does == "turnabout node mend prod/bos-a"


def test_a_node_that_does_not_answer_is_not_looked_at_and_never_aligned() -> None:
    (one,) = found(Silent("observing bos-a: no whole answer within 2 s."))
    assert (one.state, one.what) == (State.UNSEEN, "bos-a did not answer")


def test_while_a_rollout_is_open_its_nodes_are_on_their_way() -> None:
    tale = TALES["stuck"]().written
    standing = fold(tale)
    rollout = standing.open_rollout
    assert rollout is not None
    other = Running(rollout.lanes[0].candidate.digest, None)
    assert [*running.findings(replace(FLEET, nodes=(NODE,)), standing, {"bos-a": other})] == []


# ---- runtime ------------------------------------------------------------------------------------------------------

LIBRARIES, LINES = {"uvloop": "0.21.0"}, ("frontend f", "  bind 10.0.0.4:80", "  timeout client 60s")
MACHINE = Machine(
    "bos-a", "mqtt", "3.11.9", "6.1.119", "x86_64", "Amazon Linux", "ab" * 32, 0.02, LIBRARIES, LINES, GOOD
)  # fmt: skip


def zone(**changes: Any) -> list[Machine]:
    own = {node: ("frontend f", f"  bind 10.0.0.{n}:80", "  timeout client 60s") for n, node in enumerate("abc", 4)}
    alike = [replace(MACHINE, node=f"bos-{letter}", balancer=lines) for letter, lines in own.items()]
    return [*alike[:2], replace(alike[2], **changes)]


@pytest.mark.parametrize(
    ("changes", "what", "severity"),
    [
        ({"kernel": "6.1.115"}, "kernel is not the same on bos-c", Severity.LOW),
        ({"python": "3.11.4"}, "Python is not the same on bos-c", Severity.MEDIUM),
        ({"program": "cd" * 32}, "node program is not the same on bos-c", Severity.HIGH),
        ({"libraries": {"uvloop": "0.20.0"}}, "library uvloop is not the same on bos-c", Severity.HIGH),
        ({"libraries": {}}, "library uvloop is not the same on bos-c", Severity.HIGH),
        ({"clock": -4.2}, "the clock of bos-c is wrong by -4.2 s", Severity.MEDIUM),
        ({"balancer": ("frontend f", "  bind 10.0.0.6:80", "  timeout client 30s")},
         "the balancer's configuration is not the same on bos-c", Severity.HIGH),
    ],
)  # fmt: skip
def test_the_odd_one_out_of_a_zone_is_found(changes: dict[str, Any], what: str, severity: Severity) -> None:
    assert [(one.what, one.severity) for one in machines.findings("prod", zone(**changes))] == [(what, severity)]


def test_beside_the_odd_one_out_stands_what_most_nodes_have_elsewhere() -> None:
    elsewhere = {"dev": [], "stage": zone(), "other": [replace(zone()[0], app="c360")]}
    (one,) = machines.findings("prod", zone(kernel="6.1.115"), elsewhere)
    assert one.values == {"stage": "6.1.119", "prod": "6.1.115 on bos-c"}
    (one,) = machines.findings("prod", zone(libraries={}), elsewhere)
    assert one.values == {"stage": "0.21.0", "prod": "absent on bos-c"}


REPLACE = "turnabout node replace prod/bos-c --reason"
FETCH = "ssh bos-c 'sudo mv {0} {0}.was && sudo systemctl restart turnabout-node'"


@pytest.mark.parametrize(
    ("changes", "does"),
    [
        ({"kernel": "6.1.115"}, f'{REPLACE} "its kernel"'),
        ({"python": "3.11.4"}, f'{REPLACE} "its python"'),
        ({"program": "cd" * 32}, FETCH.format("/srv/bos-c/../node.pyz")),
        ({"balancer": ("frontend f", "  bind 10.0.0.6:80")}, FETCH.format("/srv/bos-c/haproxy.cfg")),
        ({"libraries": {}}, "turnabout node mend prod/bos-c"),
        ({"clock": 47.0}, "ssh bos-c 'sudo chronyc makestep'"),
    ],
)
def test_another_machine_ends_what_lies_on_the_machine_and_not_what_lies_on_its_volume(
    changes: dict[str, Any], does: str
) -> None:
    (one,) = machines.findings("prod", zone(**changes, root="/srv/bos-c"))
    assert [remedy.does for remedy in one.remedies] == [does]


def test_what_prod_s_machines_do_not_share_with_stage_s_is_ended_one_machine_after_the_other() -> None:
    (one,) = machines.between("stage", "prod", [replace(one, kernel="6.1.140") for one in zone()], zone())
    assert one.remedies[0].does == 'turnabout node replace prod/… --reason "kernel as in stage"'


def packaged(**versions: str) -> list[Machine]:
    """Three nodes; the last one's packages are changed."""
    alike = {"openssl": "3.0.8", "zlib": "1.2.11", "curl": "8.3.0"}
    return [replace(one, packages=alike) for one in zone()[:2]] + [replace(zone()[2], packages=alike | versions)]


def test_packages_that_only_one_node_has_otherwise_are_one_finding_for_it() -> None:
    (one,) = packages.findings("prod", packaged(openssl="3.0.7", nmap="7.93"))
    assert (one.what, one.about) == ("2 packages of bos-c's system are not as on most nodes", "prod bos-c packages")
    assert [(each.where, each.values) for each in one.differences] == [
        ("bos-c nmap", {"most": "absent", "bos-c": "7.93"}), ("bos-c openssl", {"most": "3.0.8", "bos-c": "3.0.7"}),
    ]  # fmt: skip
    assert one.remedies[0].does == 'turnabout node replace prod/bos-c --reason "its packages"'
    without = replace(packaged()[2], packages={"openssl": "3.0.8", "curl": "8.3.0"})
    (one,) = packages.findings("prod", [*packaged()[:2], without])
    assert one.differences[0].values == {"most": "1.2.11", "bos-c": "absent"}
    assert [*packages.findings("prod", packaged())] == []
    assert [*packages.findings("prod", packaged(openssl="3.0.7")[1:])] == []  # of two nobody can say which is odd
    assert [*packages.findings("prod", [replace(packaged()[0], packages={}), *packaged()[1:]])] == []


def test_packages_that_an_environment_has_otherwise_are_one_finding() -> None:
    other = [replace(one, packages={**one.packages, "zlib": "1.3"}) for one in packaged()]
    (one,) = packages.between("stage", "prod", packaged(), other)
    assert (one.what, one.odd) == ("1 package of mqtt's systems is not the same in prod", ("prod",))
    assert one.differences[0].values == {"stage": "1.2.11", "prod": "1.3"}
    assert [*packages.between("stage", "prod", packaged(), packaged(zlib="1.3"))] == []  # most have the same
    assert [*packages.between("stage", "prod", zone(), packaged())] == []  # stage's node programs tell of none


def test_nodes_that_are_alike_but_for_their_own_addresses_are_no_finding() -> None:
    assert [*machines.findings("prod", zone())] == []


def test_nodes_on_two_releases_may_have_two_sets_of_libraries() -> None:
    assert [*machines.findings("prod", zone(release=OTHER, libraries={"uvloop": "0.22.0"}))] == []


def test_what_most_nodes_of_two_environments_have_is_compared() -> None:
    newer = [replace(one, python="3.11.11") for one in zone()]
    (one,) = machines.between("stage", "prod", newer, zone())
    assert (one.what, one.values) == ("Python of mqtt is not the same in prod", {"stage": "3.11.11", "prod": "3.11.9"})


# ---- traffic ------------------------------------------------------------------------------------------------------


def test_what_stage_sees_of_prods_requests_is_said_with_the_setting_that_stands_in() -> None:
    cause = Cause("fleet.mqtt.synthetic_per_second", {"stage": "environments/stage.toml:10"})
    stage, prod = Load(3, 10.0, {"GET /": 200}), Load(9, 10.0, {"GET /": 20_000})
    (one,) = traffic.findings("stage", "prod", {"mqtt": stage}, {"mqtt": prod}, {"mqtt": cause})
    assert (one.what, one.state) == ("stage sees 1% of prod's requests to mqtt", State.EXPLAINED)
    assert one.causes == (cause,)


def test_what_stage_is_never_asked_is_a_finding_and_a_handful_of_requests_is_none() -> None:
    stage, prod = Load(3, 10.0, {"GET /": 200}), Load(9, 10.0, {"GET /": 900, "POST /orders": 50, "GET /odd": 2})
    (one,) = [f for f in traffic.findings("stage", "prod", {"c": stage}, {"c": prod}, {}) if f.open]
    assert (one.what, one.values["prod"]) == ("prod is asked what stage never is", "POST /orders")
    prod = Load(9, 10.0, {"GET /": 900, "other": 50})
    (one,) = [f for f in traffic.findings("stage", "prod", {"c": stage}, {"c": prod}, {}) if f.open]
    assert one.why.startswith("Nobody asked stage for what no check names while it was watched")


def test_who_asks_for_what_and_how_much_is_said_where_it_is_not_alike_and_is_no_fault() -> None:
    few = Load(3, 60.0, {"/items/*": 540, "/orders": 60}, clients=2.0, sizes=(100.0, 400.0))
    many = Load(7, 60.0, {"/items/*": 600, "/orders": 600}, clients=20.0, sizes=(900.0, 410.0))
    found = {one.what: one for one in traffic.findings("stage", "prod", {"c": few}, {"c": many}, {})}
    assert [*found] == [
        "stage sees 50% of prod's requests to c",
        "stage is asked by 10% as many clients",
        "c is asked for other things",
        "stage's requests are 11% as large",
    ]
    assert not any(one.open for one in found.values())
    clients = found["stage is asked by 10% as many clients"]
    assert "each asks 5.0 times a second in stage, 1.0 times in prod" in clients.why
    assert found["c is asked for other things"].values["prod"] == "/items/* 50%, /orders 50%"
    assert [one.what for one in traffic.findings("stage", "prod", {"c": many}, {"c": many}, {})] == [
        "stage sees 100% of prod's requests to c"
    ]


def test_clients_are_counted_from_what_both_arms_balancers_told_apart() -> None:
    (load,) = traffic.loads(TALES["promoted"]().written).values()
    assert 0 < load.clients <= load.rate


def test_the_last_watch_is_what_is_counted() -> None:
    (load,) = traffic.loads(TALES["promoted"]().written).values()
    assert load.requests > 100 and load.rate > 1


# ---- data ---------------------------------------------------------------------------------------------------------

KEY = '{"key":[["customer_id",1],["ordered_at",-1]]}'
ORDERS = Collection({"_id_": '{"key":[["_id",1]]}', "by_customer": KEY}, "", {"at": (frozenset({"datetime"}), 60)}, 60)
ROLE = '[{"actions":["find"],"resource":{"collection":"","db":""}}]'


def compared(a: Collection | None, b: Collection | None, **roles: dict[str, str]) -> list[Finding]:
    sides = []
    for name, one in (("c360_stage", a), ("c360", b)):
        found = {"orders": one} if one else {}
        sides.append({"c360": Database(name, found, roles.get(name, {}))})
    return [*stores.findings("stage", "prod", sides[0], sides[1], "mongodb://db:1/")]


def test_an_index_that_is_missing_comes_with_the_call_that_makes_it() -> None:
    (one,) = compared(ORDERS, replace(ORDERS, indexes={"_id_": ORDERS.indexes["_id_"]}))
    assert (one.what, one.severity, one.removed) == (
        "index by_customer of orders is missing in prod",
        Severity.HIGH,
        True,
    )
    assert one.values == {"stage": "customer_id 1, ordered_at -1", "prod": "absent"}
    assert one.remedies[0].does == (
        """python -c 'from pymongo import MongoClient; MongoClient("mongodb://db:1/")["c360"]["orders"]"""
        """.create_index([("customer_id", 1), ("ordered_at", -1)], name="by_customer")'"""
    )


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"indexes": {**ORDERS.indexes, "extra": KEY}}, "index extra of orders is in prod alone"),
        ({"validator": '{"a":{"$lt":1}}'}, "the validator of orders is not the same"),
        ({"fields": {"at": (frozenset({"str"}), 60)}}, "at of orders has another type"),
        ({"fields": {}}, "at of orders is on one side only"),
    ],
)
def test_what_differs_in_a_collection_is_named(changed: dict[str, Any], what: str) -> None:
    assert [one.what for one in compared(ORDERS, replace(ORDERS, **changed))] == [what]


def test_a_small_sample_proves_nothing_about_a_field_that_is_missing() -> None:
    assert compared(ORDERS, replace(ORDERS, fields={}, sampled=3)) == []


def test_a_collection_that_is_gone_is_a_finding_with_its_indexes() -> None:
    assert [one.what for one in compared(ORDERS, None)] == [
        "prod has no collection orders",
        "index by_customer of orders is missing in prod",
    ]
    assert [(one.what, one.removed) for one in compared(None, ORDERS)] == [("stage has no collection orders", False)]


def test_a_role_that_is_not_the_same_is_high() -> None:
    (one,) = compared(ORDERS, ORDERS, c360_stage={"reader": ROLE}, c360={"reader": "[]"})
    assert (one.what, one.severity) == ("role reader is not the same", Severity.HIGH)
