"""Is no secret left in a recipe or a command line, and nothing else taken out?"""

import pytest
import yaml

from lightning_cv.record.redact import REDACTED, is_secret_name, redact, redact_command

HEX_KEY = "0123456789abcdef0123456789abcdef01234567"
SETTINGS = """
tokenizer num_tokens max_tokens tokens token_dim cls_token class_token mask_token pad_token eos_token_id
key keypoints monkey num_keys keys secretary path secret_path password_file private_key_path passes
author compass bypass lr key_padding_mask keep_on_device api access register_token
"""
SECRETS = """
password passwd db_password PASSWORD secret client_secret credentials api_key apikey apiKey API-KEY
access_key aws_access_key_id secretAccessKey private_key token hf_token auth_token WANDB_API_KEY
Authorization passphrase trainer.logger.init_args.api_key account_key
"""


@pytest.mark.parametrize("name", SECRETS.split())
def test_names_of_secrets_are_known_in_every_spelling(name):
    assert is_secret_name(name)
    assert redact({name: "abc"}) == {name: REDACTED}


@pytest.mark.parametrize("name", SETTINGS.split())
def test_names_of_settings_are_no_secrets(name):
    assert not is_secret_name(name)
    for value in ("abc", 3, True, None, [1, 2], {"a": 1}):
        assert redact({name: value}) == {name: value}


def test_a_recipe_without_secrets_comes_back_as_it_was(repository):
    """Every shipped recipe: a class path, a URL or a number that changed would be a false alarm."""
    files = sorted((repository / "recipes").rglob("*.yaml"))
    assert files
    for file in files:
        recipe = yaml.safe_load(file.read_text())
        assert redact(recipe) == recipe


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://me:pass@host/data.zip", "https://***@host/data.zip"),
        ("https://ghtoken@host/x", "https://***@host/x"),
        ("postgres://u:p@ss@host:5432/db", "postgres://***@host:5432/db"),
        ("see https://a:b@h/x and s3://k:s@bucket", "see https://***@h/x and s3://***@bucket"),
        ("https://h/x?api_key=abc&size=3", "https://h/x?api_key=***&size=3"),
        ("https://h/x?size=3&X-Amz-Signature=ab12&sig=z", "https://h/x?size=3&X-Amz-Signature=***&sig=***"),
        ("https://h/x?key=abc", "https://h/x?key=***"),
        ("host=h password=abc user=me", "host=h password=*** user=me"),
        ("password='a b' x", "password=*** x"),
        ("Authorization: Bearer abcdefgh12345", "Authorization: Bearer ***"),
        (f"{HEX_KEY}", "***"),
        (f"local-{HEX_KEY} ", "*** "),
        ("hf_" + "a" * 34, "***"),
        ("use ghp_" + "a" * 36 + " here", "use *** here"),
        ("AKIAABCDEFGHIJKLMNOP", "***"),
        ("wandb_v1_" + "a" * 40, "***"),
        ("a\n-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\nb", "a\n***\nb"),
        ('{"password": "a b", "lr": 1}', '{"password": ***, "lr": 1}'),
        (
            "{class_path: W, init_args: {api_key: abc, project: p}}",
            "{class_path: W, init_args: {api_key: ***, project: p}}",
        ),
    ],
)
def test_secrets_within_text_are_taken_out_and_the_rest_stays(text, shown):
    assert redact(text) == shown
    assert redact([text]) == [shown]
    assert redact({"notes": text}) == {"notes": shown}


@pytest.mark.parametrize(
    "text",
    [
        "https://host/data.zip?size=3&num_tokens=5",
        "https://host/path@v1.0/x",
        "git+ssh://git@github.com/a/b",
        "me@example.org",
        "lightning_cv.networks.classify.SmallResNet",
        "key=value",
        f"https://host/resolve/{HEX_KEY}/model.safetensors",
        f"git+https://host/repo@{HEX_KEY}",
        f"--revision={HEX_KEY}",
        f"{HEX_KEY}{HEX_KEY[:24]}",  # a sha256
        "{tokens: 3, max_tokens: 5, cls_token: true}",
        "a token of a sequence: not a secret",
        "C:/data/images",
    ],
)
def test_text_that_only_looks_like_a_secret_stays(text):
    assert redact(text) == text


def test_a_revision_is_no_key_and_a_key_is_no_revision():
    assert redact({"revision": HEX_KEY, "model_sha": HEX_KEY}) == {"revision": HEX_KEY, "model_sha": HEX_KEY}
    assert redact({"logger": HEX_KEY}) == {"logger": REDACTED}


def test_everything_nested_is_looked_through_and_nothing_is_changed_in_place():
    """Tuples stay tuples; numbers, None, booleans and objects stay what they are."""
    thing = object()
    recipe = {"a": [{"b": ({"password": 1234, "lr": 0.1}, "u://x:y@z")}], "c": thing, "token": None, "secret": ""}
    shown = redact(recipe)
    assert shown == {
        "a": [{"b": ({"password": REDACTED, "lr": 0.1}, "u://***@z")}],
        "c": thing,
        "token": None,
        "secret": "",
    }
    assert recipe["a"][0]["b"][0]["password"] == 1234
    assert redact(shown) == shown


def test_a_whole_mapping_of_secrets_is_one_secret():
    assert redact({"credentials": {"user": "me", "word": "abc"}}) == {"credentials": REDACTED}


def test_a_number_under_token_is_a_setting_and_under_password_a_secret():
    assert redact({"token": 5, "password": 5}) == {"token": 5, "password": REDACTED}


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (["fit", "--trainer.logger.init_args.api_key=abc"], ["fit", "--trainer.logger.init_args.api_key=***"]),
        (["--password", "abc", "--seed", "3"], ["--password", "***", "--seed", "3"]),
        (["--hf_token", "abc"], ["--hf_token", "***"]),
        (["--password", "--seed=3"], ["--password", "--seed=3"]),
        (["--data.url=https://u:p@h/x?sig=1"], ["--data.url=https://***@h/x?sig=***"]),
        (["--trainer.logger={init_args: {api_key: abc}}"], ["--trainer.logger={init_args: {api_key: ***}}"]),
        (["env", "WANDB_API_KEY=abc"], ["env", "WANDB_API_KEY=***"]),
        (["--key", HEX_KEY], ["--key", "***"]),
        (["--model.num_tokens=16", "--model.cls_token=true", "--x.tokenizer=bpe"],) * 2,
        (["--model.network=a.B", "--trainer.max_epochs", "3", "recipe.yaml"],) * 2,
    ],
)
def test_a_command_line_is_shown_without_its_secrets(line, shown):
    assert redact_command(line) == shown
