"""The right to write, asked with the real client; the Hub's answers are set in the stand-in."""

from __future__ import annotations

import pytest
from huggingface_hub import constants

from hf_model.hub.access import HubAccessError, check_write_access


def fine_grained(name: str, *permissions: str, kind: str = "user") -> dict:
    scope = {"entity": {"_id": "1", "type": kind, "name": name}, "permissions": list(permissions)}
    return {"role": "fineGrained", "displayName": "narrow", "fineGrained": {"global": [], "scoped": [scope]}}


def test_the_own_namespace_is_filled_in_and_nothing_is_created(hub):
    assert check_write_access("chest") == "tester/chest"
    assert check_write_access("Tester/chest", repo_type="space") == "tester/chest"
    assert hub.repos == {}
    assert {line for line in hub.requests if "agent" not in line} == {"GET /api/whoami-v2"}


def test_a_token_given_goes_before_the_one_in_the_environment(hub):
    with pytest.raises(HubAccessError, match=r"refuses the Hugging Face token \(401\).*hf auth login"):
        check_write_access("chest", token="hf_expired")


def test_no_token_at_all_says_where_to_get_one(hub, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(HubAccessError, match=r"No Hugging Face token was found.*chest.*settings/tokens"):
        check_write_access("chest")
    assert "GET /api/whoami-v2" not in hub.requests


@pytest.mark.parametrize("name", ["a b", "me/a/b", "..", "-chest", "a--b", "x" * 97, "chest.git", ""])
def test_names_that_the_hub_would_refuse_are_refused_before_any_request(hub, name):
    with pytest.raises(HubAccessError, match="is not a repository name: give NAME or NAMESPACE/NAME"):
        check_write_access(name)
    assert hub.requests == []


def test_an_unknown_repository_type_is_named(hub):
    with pytest.raises(HubAccessError, match="'bucket' is not a repository type: use one of model, dataset, space"):
        check_write_access("chest", repo_type="bucket")


@pytest.mark.parametrize("role", ["admin", "write", "contributor", None])
def test_a_writing_role_in_an_organisation_is_enough(hub, role):
    hub.account["orgs"] = [{"type": "org", "name": "Clinic", "roleInOrg": role}]
    assert check_write_access("clinic/chest") == "Clinic/chest"


def test_a_reading_role_in_an_organisation_is_not(hub):
    hub.account["orgs"] = [{"type": "org", "name": "Clinic", "roleInOrg": "read"}]
    with pytest.raises(HubAccessError, match=r"role 'read' in Clinic, which cannot write: ask an administrator"):
        check_write_access("Clinic/chest")


def test_a_foreign_namespace_names_the_own_ones(hub):
    hub.account["orgs"] = [{"type": "org", "name": "Clinic", "roleInOrg": "write"}]
    with pytest.raises(HubAccessError, match="tester is not a member of google: use one of Clinic, tester"):
        check_write_access("google/chest")


def test_a_reading_token_cannot_push(hub):
    hub.account["auth"]["accessToken"]["role"] = "read"
    with pytest.raises(HubAccessError, match="The token 'test' may only read, so it cannot push to tester/chest"):
        check_write_access("chest")


@pytest.mark.parametrize(
    "access",
    [
        fine_grained("tester", "repo.content.read", "repo.write"),
        fine_grained("tester/chest", "repo.write", kind="model"),
        {"role": "fineGrained", "fineGrained": {"global": ["repo.write"], "scoped": []}},
    ],
)
def test_a_fine_grained_token_that_covers_the_repository_may_write(hub, access):
    hub.account["auth"]["accessToken"] = access
    assert check_write_access("chest") == "tester/chest"


@pytest.mark.parametrize(
    "access",
    [
        fine_grained("tester", "repo.content.read"),
        fine_grained("Clinic", "repo.write", kind="org"),
        fine_grained("tester/other", "repo.write", kind="model"),
        {"role": "fineGrained", "displayName": "narrow"},
    ],
)
def test_a_fine_grained_token_for_something_else_may_not(hub, access):
    hub.account["auth"]["accessToken"] = access
    with pytest.raises(HubAccessError, match=r"The fine-grained token 'narrow' may not write to tester/chest: give it"):
        check_write_access("chest")


def test_a_token_of_a_kind_not_known_here_is_left_to_the_hub(hub):
    hub.account["auth"] = {"type": "oauth"}
    assert check_write_access("chest") == "tester/chest"


@pytest.fixture
def no_wait(monkeypatch):
    """The client's waits between tries are not what is tested."""
    waits = []
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", waits.append)
    return waits


def test_a_server_error_is_tried_three_times_and_then_told(hub, no_wait):
    hub.faults = [("whoami", 503)]
    with pytest.raises(HubAccessError, match=rf"{hub.url} cannot check the token now \(status 503\)"):
        check_write_access("chest")
    assert hub.requests.count("GET /api/whoami-v2") == 3
    assert no_wait == [0.5, 1.0]


def test_a_rate_limit_is_not_tried_again(hub):
    hub.faults = [("whoami", 429)]
    with pytest.raises(HubAccessError, match="limits how often"):
        check_write_access("chest")
    assert hub.requests.count("GET /api/whoami-v2") == 1


def test_without_a_network_the_error_names_the_endpoint(hub, no_wait):
    hub.stop()
    with pytest.raises(HubAccessError, match=rf"{hub.url} cannot be reached \(ConnectError.*HF_ENDPOINT"):
        check_write_access("chest")


def test_a_malformed_endpoint_is_named(hub, monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "http://[bad")
    with pytest.raises(HubAccessError, match=r"http://\[bad cannot be reached"):
        check_write_access("chest")


def test_offline_mode_is_named(hub, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubAccessError, match="Offline mode is on"):
        check_write_access("chest")


def test_a_server_that_is_no_hub_is_named(hub):
    hub.account = {"status": "ok"}
    with pytest.raises(HubAccessError, match="does not answer like a Hugging Face Hub"):
        check_write_access("chest")
