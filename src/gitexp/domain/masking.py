"""Secrets in command lines, params and URLs: found by name, replaced by `***`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from gitexp.domain.values import Value

MASK = "***"

# The launched process masks by the same rule, without having gitexp at hand: running/inject/gitexp_capture/values.py.
SECRET_WORDS = frozenset(
    "pwd secret secrets credential credentials authorization apikey accesskey privatekey secretkey authkey accountkey"
    " signingkey encryptionkey authtoken accesstoken apitoken bearertoken refreshtoken sessiontoken hftoken"
    " ghtoken".split()
)
SECRET_ENDS = ("password", "passwd", "passphrase")
HARMLESS_ENDS = frozenset("file path dir env name type size dim len length count".split())
TOKENIZER_WORDS = frozenset(
    "bos eos pad unk sep cls mask start stop begin end image audio video special prompt prefix per next last first"
    " think".split()
)

# Patterns stay text until the first use: `re` keeps them compiled, and most commands need none of them.
_USER_INFO = r"(?<=://)([^\s/?#@:'\"]*)(:[^\s/?#'\"]*)?@"
_QUERY = r"(?<=[?&;])([^\s=&;#?'\"]+)=([^\s&;#'\"]+)"
_SECRET_QUERY = frozenset(
    "sig signature key x-amz-signature x-amz-credential x-amz-security-token x-goog-signature".split()
)
_BEARER = r"(?i)\b(authorization\s*:\s*(?:\w+\s+)?|bearer\s+)[^\s'\"]+"
_OPTION = r"(?<![\w-])(-{1,2}[A-Za-z][\w.-]*\s+|[-+]*[A-Za-z][\w.-]*=)(?!-)(\"[^\"]*\"|'[^']*'|[^\s'\"]+)"


def is_secret_name(name: str) -> bool:
    """Whether an option, param or variable of this name most likely holds a password, token or key.

    A token is a secret unless it is one of a tokenizer's (`eos_token`) or a count (`max_tokens`).
    """
    words = name.lower().replace("-", "_").replace(".", "_").split("_")
    last = words[-1]
    if last in HARMLESS_ENDS:
        return False
    before = ""
    for word in words:
        if word in SECRET_WORDS or before + word in SECRET_WORDS or word.rstrip("0123456789").endswith(SECRET_ENDS):
            return True
        before = word
    return last == "token" and (len(words) == 1 or words[-2] not in TOKENIZER_WORDS)


def mask_url(text: str) -> str:
    """`text` with the passwords, tokens and signatures inside its URLs and authorization headers masked.

    `https://ann:pw@host/x?sig=1` gives `https://ann:***@host/x?sig=***`; a user without a password is kept unless it
    is long enough to be a token.
    """
    if "://" in text:
        text = re.sub(_USER_INFO, _mask_user, text)
        text = re.sub(_QUERY, _mask_query, text)
    if "earer" in text or "uthorization" in text:
        text = re.sub(_BEARER, rf"\1{MASK}", text)
    return text


def mask_command(command: Iterable[str]) -> list[str]:
    """The arguments of a command with the values of secret-looking options masked.

    Understood are `--token X`, `--token=X`, `TOKEN=X`, `db.password=X` and URLs, and all of them inside `sh -c '...'`.
    """
    masked: list[str] = []
    value_is_secret = False
    for argument in command:
        is_option = argument.startswith("-") and len(argument) > 1
        name, equals, value = argument.partition("=")
        name_is_secret = is_secret_name(name.lstrip("-+")) and not _has_space(name)
        if value_is_secret and not is_option:
            masked.append(MASK)
        elif equals and value and name_is_secret:
            masked.append(f"{name}={MASK}")
        elif _has_space(argument):
            masked.append(re.sub(_OPTION, _mask_option, mask_url(argument)))
        else:
            masked.append(mask_url(argument))
        value_is_secret = is_option and not equals and name_is_secret
    return masked


def mask_params(params: Mapping[str, Value]) -> dict[str, Value]:
    """Flat params with the values of secret-looking keys, and what is secret in URLs, masked."""
    return {key: _mask_value(key, value) for key, value in params.items()}


def _mask_value(key: str, value: Value) -> Value:
    if isinstance(value, dict):
        return {name: _mask_value(str(name), item) for name, item in value.items()}
    if isinstance(value, list):
        return [_mask_value(key, item) for item in value]
    if isinstance(value, str):
        return MASK if value and is_secret_name(key) else mask_url(value)
    if value is None or isinstance(value, bool) or not is_secret_name(key):
        return value
    return MASK


def _has_space(text: str) -> bool:
    return any(map(str.isspace, text))


def _mask_user(match: re.Match[str]) -> str:
    user, password = match.groups()
    if password is not None:
        return f"{user}:{MASK}@"
    return f"{MASK}@" if len(user) >= 20 else match.group()


def _mask_query(match: re.Match[str]) -> str:
    name = match.group(1)
    return f"{name}={MASK}" if name.lower() in _SECRET_QUERY or is_secret_name(name) else match.group()


def _mask_option(match: re.Match[str]) -> str:
    option = match.group(1)
    return option + MASK if is_secret_name(option.strip("-+= \t\r\n")) else match.group()
