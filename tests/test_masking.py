"""Passwords, tokens and keys do not reach a record."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitexp.domain.masking import MASK, is_secret_name, mask_command, mask_params, mask_url

SECRET = (
    "password db.password db_password DB-PASSWORD password2 passphrase pwd token hf_token GITHUB-TOKEN authToken"
    " api_key apiKey api-key OPENAI_API_KEY AWS_SECRET_ACCESS_KEY AWS_ACCESS_KEY_ID private_key client_secret secrets"
    " credentials"
)
HARMLESS = (
    "lr seed key keys passes bypass max_tokens num_tokens tokenizer token_dim eos_token eos-token pad_token"
    " special_token password_file api_key_env secret_name author monkey_patch tokens_per_batch"
)


@pytest.mark.parametrize("name", SECRET.split())
def test_names_of_secrets_are_known(name: str) -> None:
    """Options that hold passwords, tokens and keys are recognised in every spelling."""
    assert is_secret_name(name)


@pytest.mark.parametrize("name", HARMLESS.split())
def test_names_of_hyperparameters_are_left_alone(name: str) -> None:
    """A tokenizer's tokens, counts of tokens and paths of secret files are no secrets."""
    assert not is_secret_name(name)


@pytest.mark.parametrize(
    ("command", "masked"),
    [
        ("train.py --token abc --lr 0.1", "train.py --token *** --lr 0.1"),
        ("train.py --api-key=abc x", "train.py --api-key=*** x"),
        ("env HF_TOKEN=abc python train.py", "env HF_TOKEN=*** python train.py"),
        ("train.py db.password=abc +wandb.api_key=x", "train.py db.password=*** +wandb.api_key=***"),
        ("train.py --password --lr 0.1", "train.py --password --lr 0.1"),
        ("train.py --password= --token", "train.py --password= --token"),
        ("get https://ann:pw@host/x?a=1&token=abc", "get https://ann:***@host/x?a=1&token=***"),
        ("get --data=s3://k:v@bucket/x", "get --data=s3://k:***@bucket/x"),
    ],
)
def test_values_of_secret_options_are_masked(command: str, masked: str) -> None:
    """The value goes, wherever it stands; everything else stays as it was."""
    assert mask_command(command.split()) == masked.split()


def test_the_text_of_a_shell_command_is_masked_inside() -> None:
    """`sh -c "..."` is one argument, but its options are seen."""
    text = "curl --token abc -H 'Authorization: Bearer xyz' https://u:p@h/ && PASSWORD='a b' run --eos-token end -n 3"
    assert mask_command(["sh", "-c", text]) == [
        "sh",
        "-c",
        "curl --token *** -H 'Authorization: Bearer ***' https://u:***@h/ && PASSWORD=*** run --eos-token end -n 3",
    ]


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("https://host/path?x=1#frag", "https://host/path?x=1#frag"),
        ("https://ann@host/", "https://ann@host/"),
        ("https://ghp_0123456789abcdefghij@host/", "https://***@host/"),
        ("https://x/?X-Amz-Signature=ab&sig=cd&q=e", "https://x/?X-Amz-Signature=***&sig=***&q=e"),
        ("git+ssh://git@host/x.git", "git+ssh://git@host/x.git"),
        ("a:b@c", "a:b@c"),
    ],
)
def test_urls_keep_all_but_their_secrets(url: str, masked: str) -> None:
    """Passwords, signatures and users that are tokens are masked; what tells URLs apart is kept."""
    assert mask_url(url) == masked


def test_params_are_masked_by_name_and_inside_urls() -> None:
    """Numbers and texts of secret names go; switches and what was not given stay."""
    params = {
        "a.token": "x",
        "password": 1,
        "api_key": None,
        "secret": False,
        "url": "http://u:p@h",
        "lr": 0.1,
        "pwd": "",
    }
    assert mask_params(params) == {**params, "a.token": MASK, "password": MASK, "url": "http://u:***@h"}


@given(st.lists(st.text(max_size=30)))
def test_masking_keeps_the_number_of_arguments_and_settles(command: list[str]) -> None:
    """Any command keeps its shape, and masking what is masked changes nothing."""
    once = mask_command(command)
    assert len(once) == len(command)
    assert mask_command(once) == once
