"""Check the right to write to a Hub repository before hours of training, not after.

The Hub answers ``GET /api/whoami-v2`` with the token's account, its organisations and its role in each, and what the
token may do. That foresees nearly every failed push without creating anything.
"""

from __future__ import annotations

import httpx2
from huggingface_hub import constants, get_token
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled
from huggingface_hub.utils import build_hf_headers, http_backoff, validate_repo_id

REPO_TYPES = ("model", "dataset", "space")
TIMEOUT_SECONDS = 10.0
"""The client sets no timeout of its own: a silent network would block the start of a training run for ever."""
RETRIES = 2
WRITING_ROLES = frozenset({"admin", "write", "contributor"})
"""Roles in an organisation that may create repositories there. A contributor may write only to those he created."""
WRITE_PERMISSION = "repo.write"
TOKEN_PAGE = "https://huggingface.co/settings/tokens"


class HubAccessError(RuntimeError):
    """The token may not write to the repository, or the Hub could not be asked. ``str()`` says what to do."""


def check_write_access(repo_id: str, *, token: str | None = None, repo_type: str = "model") -> str:
    """Check that the token may create and write ``repo_id``, without creating or changing anything.

    Args:
        repo_id: ``name`` or ``namespace/name``; without a namespace it is the token's own user.
        token: access token; default: ``HF_TOKEN``, then what ``hf auth login`` stored.
        repo_type: ``model``, ``dataset`` or ``space``.

    Returns:
        The full repository id, namespace filled in and spelt as the Hub spells it.

    Raises:
        HubAccessError: bad name, no token, refused token, token that cannot write, foreign namespace, no network.
    """
    _check_name(repo_id, repo_type)
    token = token or get_token()
    if not token:
        raise HubAccessError(
            f"No Hugging Face token was found, so nothing could be pushed to {repo_id}: run `hf auth login` or set "
            f"HF_TOKEN to a token with write permission ({TOKEN_PAGE})."
        )
    account = _whoami(token)
    namespace, _, name = repo_id.rpartition("/")
    namespace = _own_namespace(account, namespace or account["name"])
    _check_token(account, namespace, f"{namespace}/{name}")
    return f"{namespace}/{name}"


def _check_name(repo_id: str, repo_type: str) -> None:
    if repo_type not in REPO_TYPES:
        raise HubAccessError(f"{repo_type!r} is not a repository type: use one of {', '.join(REPO_TYPES)}.")
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise HubAccessError(
            f"{repo_id!r} is not a repository name: give NAME or NAMESPACE/NAME made of letters, digits, '-', '_' and "
            f"'.' ({' '.join(str(error).split())})"
        ) from error


def _whoami(token: str) -> dict:
    """Answer of ``/api/whoami-v2``; after a server error or a lost connection it is asked again twice."""
    endpoint = constants.ENDPOINT
    try:
        response = http_backoff(
            "GET",
            f"{endpoint}/api/whoami-v2",
            headers=build_hf_headers(token=token),
            timeout=TIMEOUT_SECONDS,
            max_retries=RETRIES,
            base_wait_time=0.5,
            retry_on_status_codes=(500, 502, 503, 504),
        )
        response.raise_for_status()
        account = response.json()
        if not isinstance(account, dict) or not isinstance(account.get("name"), str):
            raise ValueError("the answer names no account")
        return account
    except OfflineModeIsEnabled as error:
        raise HubAccessError(
            f"Offline mode is on (HF_HUB_OFFLINE), so {endpoint} cannot be asked: unset it, or train without "
            "--push_to_hub and push later."
        ) from error
    except (httpx2.HTTPStatusError, HfHubHTTPError) as error:
        raise HubAccessError(_status_message(error.response.status_code, endpoint)) from error
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
        raise HubAccessError(
            f"{endpoint} cannot be reached ({type(error).__name__}: {error}): check the network, the proxy and "
            "HF_ENDPOINT, or train without --push_to_hub and push later."
        ) from error
    except ValueError as error:
        raise HubAccessError(
            f"{endpoint} does not answer like a Hugging Face Hub ({error}): check HF_ENDPOINT."
        ) from error


def _status_message(status: int, endpoint: str) -> str:
    if status in (401, 403):
        return (
            f"{endpoint} refuses the Hugging Face token ({status}): it is wrong, expired or revoked; make a new one "
            f"with write permission ({TOKEN_PAGE}), then run `hf auth login` or set HF_TOKEN, which takes precedence."
        )
    if status == 429:
        return f"{endpoint} limits how often a token may be checked (429): wait five minutes and start again."
    return f"{endpoint} cannot check the token now (status {status}): try again later, or train without --push_to_hub."


def _own_namespace(account: dict, namespace: str) -> str:
    """The namespace as the Hub spells it; HubAccessError if the account may not write there."""
    user = account["name"]
    if namespace.casefold() == user.casefold():
        return user
    organisations = {str(org.get("name")).casefold(): org for org in account.get("orgs") or [] if isinstance(org, dict)}
    organisation = organisations.get(namespace.casefold())
    if organisation is None:
        known = ", ".join(sorted([user, *(str(org.get("name")) for org in organisations.values())]))
        raise HubAccessError(
            f"The token's user {user} is not a member of {namespace}: use one of {known} as the namespace, or a token "
            f"of a member of {namespace}."
        )
    role = organisation.get("roleInOrg")
    if role is not None and role not in WRITING_ROLES:
        raise HubAccessError(
            f"{user} has the role {role!r} in {organisation['name']}, which cannot write: ask an administrator of "
            f"{organisation['name']} for the role 'write', or use {user}/… as the name."
        )
    return organisation["name"]


def _check_token(account: dict, namespace: str, full_id: str) -> None:
    """Refuse a token that cannot write. Kinds unknown here (OAuth, OIDC) are left for the Hub to judge."""
    access = (account.get("auth") or {}).get("accessToken") or {}
    role, label = access.get("role"), access.get("displayName") or "without a name"
    if role == "read":
        raise HubAccessError(
            f"The token {label!r} may only read, so it cannot push to {full_id}: make one with write permission "
            f"({TOKEN_PAGE}) and set HF_TOKEN to it."
        )
    if role == "fineGrained" and not _scope_allows(access.get("fineGrained") or {}, namespace, full_id):
        raise HubAccessError(
            f'The fine-grained token {label!r} may not write to {full_id}: give it "Write access to contents/settings '
            f'of repos" under {namespace} ({TOKEN_PAGE}).'
        )


def _scope_allows(scopes: dict, namespace: str, full_id: str) -> bool:
    if WRITE_PERMISSION in (scopes.get("global") or []):
        return True
    covered = {namespace.casefold(), full_id.casefold()}
    return any(
        WRITE_PERMISSION in (scope.get("permissions") or [])
        and str((scope.get("entity") or {}).get("name")).casefold() in covered
        for scope in scopes.get("scoped") or []
    )
