"""What of a recipe or a command line may others read? Everything but passwords, keys and tokens."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

REDACTED = "***"

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
# A name with one of these words is a secret's, and so is one with a kind of key in front of `key`.
_SECRET_WORDS = {
    *("password", "passwords", "passwd", "passphrase", "pwd", "secret", "secrets", "credential", "credentials"),
    *("apikey", "accesskey", "privatekey", "secretkey", "authorization"),
}
_KINDS_OF_KEY = {"api", "access", "private", "secret", "signing", "encryption", "account", "subscription", "auth"}
# Last words of a name that tells of a secret, but is none: where it lies, how long it may be.
_ABOUT = {"path", "file", "dir", "folder", "length", "len", "size", "dim", "count", "num", "type"}
# In front of `token`: parts of a sequence that a network reads.
_SEQUENCE_TOKENS = {
    *("cls", "class", "mask", "pad", "eos", "bos", "sep", "unk", "dist", "distillation", "register", "special"),
    *("start", "end", "stop", "image", "img", "patch", "pool", "num", "per", "max", "min"),
}
_SECRET_PARAMETERS = {"key", "sig", "signature", "x-amz-signature", "x-goog-signature"}  # of a URL
_NOT_KEYS = {"revision", "commit", "sha", "sha1", "hash", "checksum", "digest", "rev", "ref", "version"}

# Schemes that hold user and password in front of the host; a plain `git@` is nobody's secret.
_USER_INFO = re.compile(r"(?P<scheme>\b[a-zA-Z][a-zA-Z0-9+.\-]*://)(?!git@)[^/\s?#\"'<>]+@")
_SETTING = re.compile(r"(?P<before>^|[^\w.\-])(?P<name>-{0,2}[\w.\-]+)=(?P<value>\"[^\"]*\"|'[^']*'|[^\s&;,\"'}\]]+)")
_ENTRY = re.compile(
    r"(?P<name>(?P<quote>[\"']?)[\w.\-]+(?P=quote))(?P<colon>\s*:\s*)(?P<value>\"[^\"]*\"|'[^']*'|[^,}\]{\[\n]+)"
)
_SHAPES = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|\bwandb_v\d+_\w{20,}"  # W&B
    r"|\bhf_[A-Za-z0-9]{20,}"  # Hugging Face
    r"|\b(?:gh[opsu]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w\-]{20,})"  # GitHub, GitLab
    r"|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"  # AWS
    r"|\bxox[abprs]-[\w\-]{10,}"  # Slack
    r"|\bsk-[\w\-]{20,}"  # model providers
    r"|\beyJ[\w\-]{10,}\.eyJ[\w\-]{10,}\.[\w\-]*"  # JSON web tokens
    r"|(?<=\bBearer )[\w.\-+/=]{8,}",
    re.DOTALL,
)
# A key of W&B is 40 hexadecimal digits, as is a revision in git: those in a path or behind @ are taken for one.
_HEX_KEY = re.compile(r"(?<![\w/@.\-])(?:local-)?[0-9a-f]{40}(?![\w/.\-])")


def redact(value: Any) -> Any:
    """The same value with `***` in the place of every secret.

    Secret is what stands under a name like `password`, `client_secret`, `api_key` or `hf_token`; the user and
    password, and the secret parameters, of a URL; and text that has the shape of a well-known key. Names such as
    `tokenizer`, `num_tokens` and `cls_token` are no secrets. None, booleans and empty text stay.

    Args:
        value: mappings, lists, tuples and text are looked through; everything else comes back as it is.
    """
    return _redact(value, name="")


def redact_command(argv: Sequence[str]) -> list[str]:
    """The words of a command line with `***` in the place of every secret: `--a.api_key=***`, `--password ***`."""
    words: list[str] = []
    hides_next = False
    for word in argv:
        if hides_next and not word.startswith("--"):
            words.append(REDACTED)
            hides_next = False
            continue
        words.append(_redact_text(word, name=""))
        hides_next = word.startswith("-") and "=" not in word and is_secret_name(word)
    return words


def is_secret_name(name: str) -> bool:
    """Whether what stands under this name is a secret; of a dotted name the last part counts."""
    words = [word.lower() for word in _WORD.findall(name.rpartition(".")[2])]
    if not words or words[-1] in _ABOUT:
        return False
    if _SECRET_WORDS.intersection(words):
        return True
    if any(kind in _KINDS_OF_KEY and word in ("key", "keys") for kind, word in pairwise(words)):
        return True
    return words[-1] == "token" and not _SEQUENCE_TOKENS.intersection(words[-2:-1])


def _redact(value: Any, *, name: str) -> Any:
    if isinstance(value, bool) or value is None or value == "":
        return value
    if name and is_secret_name(name) and not _is_count(name, value):
        return REDACTED
    if isinstance(value, str):
        return _redact_text(value, name=name)
    if isinstance(value, Mapping):
        return {key: _redact(item, name=str(key)) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_redact(item, name=name) for item in value)
    return value


def _is_count(name: str, value: Any) -> bool:
    """Whether a number stands under a name that is a secret's only as text: a token is, a password is not."""
    if not isinstance(value, (int, float)) and not (isinstance(value, str) and value.isdecimal() and len(value) < 6):
        return False
    return _WORD.findall(name)[-1].lower() == "token"


def _redact_text(text: str, *, name: str) -> str:
    text = _USER_INFO.sub(rf"\g<scheme>{REDACTED}@", text)
    text = _SETTING.sub(_hide_setting, text)
    if "{" in text:
        text = _ENTRY.sub(_hide_entry, text)
    text = _SHAPES.sub(REDACTED, text)
    if not _NOT_KEYS.intersection(word.lower() for word in _WORD.findall(name.rpartition(".")[2])):
        text = _HEX_KEY.sub(_hide_hex, text)
    return text


def _hide_setting(match: re.Match[str]) -> str:
    before, name, value = match["before"], match["name"], match["value"]
    is_parameter = before in ("?", "&") and name.lower() in _SECRET_PARAMETERS
    if not is_parameter and (not is_secret_name(name) or _is_count(name, value)):
        # The value may hold another setting: `--url=https://host/?api_key=...`.
        return f"{before}{name}={_SETTING.sub(_hide_setting, value)}"
    return f"{before}{name}={REDACTED}"


def _hide_entry(match: re.Match[str]) -> str:
    name, value = match["name"].strip("\"'"), match["value"].strip("\"'")
    if not is_secret_name(name) or value in ("", "null", "true", "false") or _is_count(name, value):
        return match[0]
    return f"{match['name']}{match['colon']}{REDACTED}"


def _hide_hex(match: re.Match[str]) -> str:
    """A key, unless the word in front of it names a revision: `revision=...`."""
    front = match.string[: match.start()].rstrip("=: \"'")
    last = _WORD.findall(front)[-1:]
    return match[0] if last and last[0].lower() in _NOT_KEYS else REDACTED
