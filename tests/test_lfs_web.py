"""How a Git LFS server is found and reached: addresses, credentials, headers, redirects, proxies, certificates."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gitexp.domain.pointer import Pointer
from gitexp.errors import AccessDenied, RemoteFailed, UsageError
from gitexp.store.artifacts.http_settings import HttpSettings
from gitexp.store.artifacts.lfs_endpoint import can_have_lfs
from gitexp.store.git.remotes import find_remote
from places import CERTIFICATE, LfsHost, Machine, Reply, Request, make_machine

pytestmark = pytest.mark.slow

DATA = os.urandom(200_000)


@pytest.fixture
def host() -> Iterator[LfsHost]:
    with LfsHost() as started:
        yield started


@pytest.fixture
def other() -> Iterator[LfsHost]:
    """Another host: the same machine under another name and port."""
    with LfsHost() as started:
        started.base = started.base.replace("127.0.0.1", "localhost")
        yield started


@pytest.fixture
def ann(tmp_path: Path) -> Machine:
    return make_machine(tmp_path / "ann")


@pytest.fixture(autouse=True)
def no_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_TERMINAL_PROMPT", "0")
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def helper(ann: Machine, tmp_path: Path) -> Callable[[str, str], Callable[[], list[str]]]:
    """Gives git a credential helper that knows a user and a password, and keeps what it is told."""

    def install(user: str, password: str) -> Callable[[], list[str]]:
        log = tmp_path / "helper.log"
        script = tmp_path / "helper"
        script.write_text(
            f'#!/bin/sh\n(echo "$1"; cat) >> {log}\n'
            f'[ "$1" = get ] && printf "username=%s\\npassword=%s\\n" {user} {password}\nexit 0\n'
        )
        script.chmod(0o755)
        ann.configure("credential.helper", str(script))
        return lambda: [line for line in log.read_text().splitlines() if line] if log.exists() else []

    return install


def asking(user: str, password: str) -> Callable[[Request], Reply | None]:
    """Lets in who says the right thing."""
    wanted = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    def odd(request: Request) -> Reply | None:
        if request.headers.get("Authorization") == wanted:
            return None
        return Reply(status=401, headers={"WWW-Authenticate": 'Basic realm="lfs"'})

    return odd


def travels(machine: Machine, host: LfsHost, url: str | None = None) -> Pointer:
    pointer = machine.put(DATA)
    store = machine.lfs(url or host.url)
    assert store.is_there([pointer], push=True)
    store.upload([pointer], machine.content, machine.told.append)
    assert host.objects[pointer.sha256] == DATA
    machine.content.remove(pointer.sha256)
    machine.lfs().download([pointer], machine.content, machine.told.append)
    assert machine.has(pointer, DATA)
    return pointer


def test_credentials_in_the_address(host: LfsHost, ann: Machine) -> None:
    """User and password of the remote's address are used from the first request on, and stand in no request line."""
    host.odd = asking("ann", "p@ss:w%")
    travels(ann, host, host.url.replace("//", "//ann:p%40ss%3Aw%25@"))
    assert all("Authorization" in request.headers for request in host.requests)


def test_credentials_of_gits_helpers(
    host: LfsHost, ann: Machine, helper: Callable[..., Callable[[], list[str]]]
) -> None:
    """A helper is asked by the remote's address, and once only; what was good is approved."""
    host.odd = asking("ann", "secret")
    ann.configure("credential.useHttpPath", "true")
    log = helper("ann", "secret")
    pointer = ann.put(DATA)
    ann.lfs(host.url).upload([pointer], ann.content, ann.told.append)
    assert host.objects[pointer.sha256] == DATA
    said = log()
    assert said.count("get") == said.count("store") == 1
    assert "path=team/repo.git" in said
    assert "erase" not in said


def test_wrong_credentials_are_forgotten(
    host: LfsHost, ann: Machine, helper: Callable[..., Callable[[], list[str]]]
) -> None:
    """The helper is told that they were no good; the error says what to do."""
    host.odd = asking("ann", "secret")
    log = helper("ann", "yesterday")
    with pytest.raises(AccessDenied, match="git has no credentials that it takes") as failed:
        ann.lfs(host.url).lacking([ann.put(DATA)])
    assert "git fetch" in failed.value.hint
    assert "erase" in log()
    assert "store" not in log()
    assert "yesterday" not in str(failed.value)


def test_the_token_of_an_action_is_what_counts(
    host: LfsHost, other: LfsHost, ann: Machine, helper: Callable[..., Callable[[], list[str]]]
) -> None:
    """Where an action says who we are, our own credentials are not sent along, nor to another host unasked."""
    helper("ann", "secret")
    host.odd = asking("ann", "secret")
    ann.configure("http.extraHeader", "X-Token: of-the-remote")
    host.answer = lambda _, item: {  # type: ignore[method-assign]
        **item,
        "actions": {
            "upload": {"href": f"{other.base}/store/{item['oid']}"},
            "verify": {"href": f"{host.base}/verify", "header": {"authorization": "Basic YW5uOnNlY3JldA=="}},
        },
    }
    pointer = ann.put(DATA)
    host.objects[pointer.sha256] = DATA
    ann.lfs(host.url).upload([pointer], ann.content, ann.told.append)
    [put] = other.requests
    assert "Authorization" not in put.headers
    assert "X-Token" not in put.headers
    [verify] = host.seen("POST", "/verify")
    assert verify.headers.get_all("Authorization") == ["Basic YW5uOnNlY3JldA=="]  # type: ignore[attr-defined]
    assert verify.headers["X-Token"] == "of-the-remote"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_on_the_same_host(host: LfsHost, ann: Machine, status: int) -> None:
    """A redirected request stays what it is, with its body and credentials."""
    host.odd = asking("ann", "secret")
    let_in = host.odd

    def odd(request: Request) -> Reply | None:
        if request.path.startswith("/new"):
            return let_in(request)
        return Reply(status=status, headers={"Location": f"/new{request.path}"})

    host.odd = odd
    travels(ann, host, host.url.replace("//", "//ann:secret@"))
    assert host.seen("PUT", "/new")


def test_redirects_to_another_host_take_no_secrets_along(host: LfsHost, other: LfsHost, ann: Machine) -> None:
    """Neither our credentials nor extra headers nor those of the action arrive there."""
    ann.configure("http.extraHeader", "X-Token: of-the-remote")
    let_in = asking("ann", "secret")

    def odd(request: Request) -> Reply | None:
        if request.method == "POST" or "Authorization" not in request.headers:
            return let_in(request)
        return Reply(status=307, headers={"Location": f"{other.base}{request.path}"})

    host.odd = odd
    host.action = {"header": {"Authorization": "Basic YW5uOnNlY3JldA==", "Cookie": "a=b", "X-Amz-Thing": "c"}}
    pointer = ann.put(DATA)
    host.objects[pointer.sha256] = other.objects[pointer.sha256] = DATA
    with ann.content.arriving(pointer) as arriving:
        arriving.write(DATA[:1000])
    ann.content.remove(pointer.sha256)
    ann.lfs(host.url.replace("//", "//ann:secret@")).download([pointer], ann.content, ann.told.append)
    assert ann.has(pointer, DATA)
    [get] = other.requests
    assert get.headers["Range"] == "bytes=1000-"
    assert not {"authorization", "cookie", "x-token", "x-amz-thing"} & {name.lower() for name in get.headers}


def test_redirects_without_end(host: LfsHost, ann: Machine) -> None:
    host.odd = lambda request: Reply(status=302, headers={"Location": request.path})
    with pytest.raises(RemoteFailed, match="sends us from one address to the next"):
        ann.lfs(host.url).lacking([ann.put(DATA)])
    assert len(host.requests) < 10


test_redirects_without_end.__doc__ = """They are followed a few times, and then told."""


def test_a_login_page_is_no_lfs_server(host: LfsHost, ann: Machine) -> None:
    """A redirect to a page for people means: no LFS here."""
    page = Reply(body=b"<html>Log in", headers={"Content-Type": "text/html"})
    host.odd = lambda request: page if request.path == "/login" else Reply(status=302, headers={"Location": "/login"})
    assert not ann.lfs(host.url).is_there([ann.put(DATA)], push=True)


def test_extra_headers(host: LfsHost, ann: Machine) -> None:
    """`http.extraHeader`, for all and for addresses that fit, the best fit last; an empty one forgets the others."""
    ann.configure("http.extraHeader", "X-All: 1", "--add")
    ann.configure("http.extraHeader", "X-More: 2", "--add")
    ann.configure(f"http.{host.base}/team.extraHeader", "X-All: 3")
    ann.configure(f"http.{host.base}/tea.extraHeader", "X-All: 4")
    ann.configure("http.https://example.org/.extraHeader", "X-All: 5")
    ann.lfs(host.url).lacking([ann.put(DATA)])
    assert (host.requests[0].headers["X-All"], host.requests[0].headers["X-More"]) == ("3", "2")
    ann.configure(f"http.{host.base}/team/repo.git.extraHeader", "")
    ann.lfs().lacking([ann.put(DATA)])
    assert not {"X-All", "X-More"} & set(host.requests[1].headers)


@pytest.mark.parametrize(
    ("base", "url", "fits"),
    [
        ("https://example.org", "https://example.org/x", True),
        ("https://example.org", "http://example.org/x", False),
        ("https://example.org:443", "https://example.org/x", True),
        ("https://example.org:8443", "https://example.org/x", False),
        ("https://*.example.org", "https://git.example.org/x", True),
        ("https://*.example.org", "https://example.org/x", False),
        ("https://example.org/te", "https://example.org/team", False),
        ("https://example.org/team/", "https://example.org/team/repo", True),
        ("https://ann@example.org", "https://ann@example.org/x", True),
        ("https://ann@example.org", "https://bob@example.org/x", False),
    ],
)
def test_settings_of_an_address_fit_as_gits_do(ann: Machine, base: str, url: str, fits: bool) -> None:
    """`http.<url>.*` is matched as `git config --get-urlmatch` does."""
    ann.configure(f"http.{base}.proxy", "http://proxy:1")
    asked = ["git", "config", "--get-urlmatch", "http.proxy", url]
    said = subprocess.run(asked, check=False, cwd=ann.folder, capture_output=True, text=True).stdout.strip()
    assert bool(said) == fits
    assert HttpSettings(ann.git, "origin").way(url).proxy == (said or None)


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        ({"lfs.url": "{base}/a"}, "/a"),
        ({"lfs.pushurl": "{base}/b", "lfs.url": "{base}/a"}, "/b"),
        ({"lfs.url": "{base}/a", "remote.origin.lfsurl": "{base}/c"}, "/a"),
        ({"remote.origin.lfsurl": "{base}/c"}, "/c"),
        ({"remote.origin.lfspushurl": "{base}/d", "remote.origin.lfsurl": "{base}/c"}, "/d"),
        ({"remote.other.lfsurl": "{base}/c"}, "/team/repo.git/info/lfs"),
        ({"remote.origin.pushurl": "{base}/e"}, "/e.git/info/lfs"),
        ({"lfs.url": "short:f", "url.{base}/.insteadOf": "short:"}, "/f"),
    ],
)
def test_where_the_server_is(host: LfsHost, ann: Machine, settings: dict[str, str], path: str) -> None:
    """Settings of git-lfs in git's configuration, in its order; else the remote's address with `.git/info/lfs`."""
    for name, value in settings.items():
        ann.configure(name.format(base=host.base), value.format(base=host.base))
    ann.lfs(host.url).lacking([ann.put(DATA)])
    assert host.requests[0].path == f"{path}/objects/batch"


def test_lfsconfig(host: LfsHost, ann: Machine) -> None:
    """A repository's `.lfsconfig` says where its server is, also to a remote that is a path; git's own settings win."""
    ann.configure("remote.origin.url", str(ann.folder))
    remote = find_remote(ann.git, "origin")
    assert not can_have_lfs(ann.git, remote, push=True)
    (ann.folder / ".lfsconfig").write_text(f"[lfs]\n\turl = {host.base}/shared\n")
    assert can_have_lfs(ann.git, remote, push=True)
    ann.lfs().lacking([ann.put(DATA)])
    ann.configure("lfs.url", f"{host.base}/mine")
    ann.lfs().lacking([ann.put(DATA)])
    assert [request.path for request in host.requests] == ["/shared/objects/batch", "/mine/objects/batch"]


SSH = """#!/bin/sh
echo "$@" >> {log}
{body}
"""


def fake_ssh(machine: Machine, monkeypatch: pytest.MonkeyPatch, body: str) -> Path:
    """An `ssh` that does what `body` says; gives the file with its arguments."""
    log = machine.folder.parent / "ssh.log"
    script = machine.folder.parent / "my ssh"
    script.write_text(SSH.format(log=log, body=body))
    script.chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", f"'{script}' -v")
    return log


def test_an_ssh_host_says_where_and_who(host: LfsHost, ann: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """`git-lfs-authenticate` gives address and headers; it is asked once for each direction while they are good."""
    said = {"href": f"{host.base}/api", "header": {"Authorization": "RemoteAuth 1"}, "expires_in": 900}
    log = fake_ssh(ann, monkeypatch, f"echo '{json.dumps(said)}'")
    host.action = {"header": {"Authorization": "RemoteAuth 1"}}
    travels(ann, host, "ssh://git@example.org:2222/team/it's.git")
    lines = log.read_text().splitlines()
    assert lines[0] == "-v -p 2222 git@example.org git-lfs-authenticate '/team/it'\"'\"'s.git' upload"
    assert [line.rpartition(" ")[2] for line in lines] == ["upload", "download"]
    assert {request.headers["Authorization"] for request in host.requests} == {"RemoteAuth 1"}


def test_what_ssh_gave_is_asked_for_anew(host: LfsHost, ann: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Headers that have expired, or that the server accepts no more, are replaced."""
    count = ann.folder.parent / "count"
    said = f'{{"href": "{host.base}/api", "header": {{"Authorization": "Token %s"}}, "expires_in": 1}}'
    log = fake_ssh(ann, monkeypatch, f"echo x >> {count}; printf '{said}' $(wc -l < {count})")
    store = ann.lfs("git@example.org:team/repo.git")
    store.lacking([ann.put(b"1")])
    host.odd = lambda request: Reply(status=401) if request.headers["Authorization"] == "Token 2" else None
    store.lacking([ann.put(b"2")])
    assert [request.headers["Authorization"] for request in host.requests] == ["Token 1", "Token 2", "Token 3"]
    assert "git@example.org git-lfs-authenticate team/repo.git upload" in log.read_text()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("echo 'sh: git-lfs-authenticate: not found' >&2; exit 127", "not found"),
        ("echo 'LFS is disabled' >&2; exit 1", "LFS is disabled"),
        ("echo \"FATAL: unknown command: 'git-lfs-authenticate x'\" >&2; exit 255", "unknown command"),
    ],
)
def test_an_ssh_host_without_lfs(ann: Machine, monkeypatch: pytest.MonkeyPatch, body: str, reason: str) -> None:
    """Whatever the host says to a command that it does not know: there is no LFS, and the error quotes it."""
    fake_ssh(ann, monkeypatch, body)
    store = ann.lfs("git@example.org:team/repo.git")
    assert not store.is_there([ann.put(DATA)], push=True)
    with pytest.raises(RemoteFailed, match=reason):
        store.lacking([ann.put(DATA)])


def test_ssh_that_does_not_get_there(ann: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that cannot be reached is not taken for one without LFS; addresses that are options reach no ssh."""
    log = fake_ssh(ann, monkeypatch, "echo 'ssh: connect to host example.org port 22: refused' >&2; exit 255")
    with pytest.raises(AccessDenied, match="cannot be reached by ssh: ssh: connect to host"):
        ann.lfs("git@example.org:team/repo.git").is_there([ann.put(DATA)], push=True)
    log.unlink()
    for url in ("ssh://-oProxyCommand=touch%20x/y", "-oProxyCommand=x:y", "git@example.org:-x"):
        with pytest.raises(UsageError, match="not an address that ssh may be given"):
            ann.lfs(url).is_there([ann.put(DATA)], push=True)
    assert not log.exists()


def test_ipv6(ann: Machine) -> None:
    """Addresses in brackets."""
    with LfsHost("::1") as host:
        host.odd = asking("ann", "secret")
        travels(ann, host, host.url.replace("//", "//ann:secret@"))
        with pytest.raises(AccessDenied, match=rf"'http://\[::1\]:{host.server_address[1]}'"):
            ann.lfs(host.url).lacking([ann.put(b"x")])


def test_a_certificate_that_nobody_signed(ann: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused with a hint; `http.sslCAInfo`, `http.sslVerify`, SSL_CERT_FILE and git's variables let it in."""
    with LfsHost(tls=True) as host:
        pointer = ann.put(DATA)
        with pytest.raises(RemoteFailed, match=r"no safe connection to 'https://127.*self-signed") as failed:
            ann.lfs(host.url).lacking([pointer])
        assert "http.sslCAInfo" in failed.value.hint
        assert host.requests == []
        for name, value in (("GIT_SSL_CAINFO", CERTIFICATE), ("SSL_CERT_FILE", CERTIFICATE), ("GIT_SSL_NO_VERIFY", 1)):
            with monkeypatch.context() as patch:
                patch.setenv(name, str(value))
                assert ann.lfs().lacking([pointer]) == {pointer}
        ann.configure(f"http.{host.base}/.sslCAInfo", str(CERTIFICATE))
        travels(ann, host)
        ann.configure(f"http.{host.base}/.sslCAInfo", "", "--unset")
        ann.configure("http.sslVerify", "false")
        travels(ann, host)


def test_no_secrets_where_it_is_not_encrypted(other: LfsHost, ann: Machine) -> None:
    """A redirect from https to http is not followed."""
    ann.configure("http.sslVerify", "false")
    with LfsHost(tls=True) as host:
        host.odd = lambda request: Reply(status=307, headers={"Location": f"{other.base}{request.path}"})
        with pytest.raises(RemoteFailed, match="which is not encrypted"):
            ann.lfs(host.url).lacking([ann.put(DATA)])
    assert other.requests == []


@pytest.mark.parametrize("said", ["http_proxy", "HTTP_PROXY", "ALL_PROXY", "http.proxy", "remote.origin.proxy"])
def test_proxies(host: LfsHost, ann: Machine, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    """From the environment or git's settings, with their password."""
    with LfsHost() as proxy:
        proxy.odd = lambda request: host.reply(
            Request(
                method=request.method,
                path=request.path.removeprefix("http://example.test"),
                headers=request.headers,
                body=request.body,
            )
        )
        host.base = "http://example.test"
        where = f"{proxy.base.replace('//', '//me:pw@')}"
        if "." in said:
            ann.configure(said, where)
        else:
            monkeypatch.setenv(said, where)
        travels(ann, host)
        assert all(request.path.startswith("http://example.test/") for request in proxy.requests)
        assert {request.headers["Proxy-Authorization"] for request in proxy.requests} == {"Basic bWU6cHc="}
        assert not any("Proxy-Authorization" in request.headers for request in host.requests)


@pytest.mark.slow
def test_a_proxy_that_is_not_there(host: LfsHost, ann: Machine) -> None:
    """The error names the proxy, without its password."""
    ann.configure("http.proxy", "http://me:secret@127.0.0.1:9")
    with pytest.raises(RemoteFailed, match=r"The proxy 'http://me:\*\*\*@127\.0\.0\.1:9' on the way to .* fails"):
        ann.lfs(host.url).lacking([ann.put(DATA)])


@pytest.mark.slow
def test_a_tunnel_through_a_proxy(ann: Machine) -> None:
    """https goes through CONNECT; a proxy that refuses is named."""
    ann.configure("http.sslVerify", "false")
    with LfsHost(tls=True) as host, LfsHost() as proxy:
        proxy.odd = lambda _: Reply(status=407)
        ann.configure("http.proxy", proxy.base)
        with pytest.raises(RemoteFailed, match=r"The proxy .* fails: .*407"):
            ann.lfs(host.url).lacking([ann.put(DATA)])
        assert [request.method for request in proxy.requests][:1] == ["CONNECT"]


@pytest.mark.parametrize(
    ("no_proxy", "direct"),
    [
        ("example.org", True),
        ("org", True),
        (".example.org", False),
        ("*", True),
        ("ample.org", False),
        ("example.org:80", True),
        ("example.org:81", False),
        ("", False),
    ],
)
def test_who_is_reached_without_a_proxy(
    ann: Machine, monkeypatch: pytest.MonkeyPatch, no_proxy: str, direct: bool
) -> None:
    """Hosts, domains, ports and networks in `no_proxy`."""
    monkeypatch.setenv("http_proxy", "proxy:3128")
    monkeypatch.setenv("no_proxy", f"x, {no_proxy},10.0.0.0/8")
    settings = HttpSettings(ann.git, "origin")
    assert settings.way("http://example.org/x").proxy == (None if direct else "http://proxy:3128")
    assert settings.way("http://10.1.2.3/x").proxy is None
    assert settings.way("https://example.org/x").proxy is None


@pytest.mark.slow
def test_a_host_that_is_not_there(ann: Machine) -> None:
    """The error says what and why in words, after a few tries."""
    for url, reason in (
        ("http://127.0.0.1:9/x.git", "Connection refused"),
        ("http://nowhere.invalid/x.git", "not known"),
    ):
        with pytest.raises(RemoteFailed, match=f"cannot be reached: .*{reason}") as failed:
            ann.lfs(url).is_there([ann.put(DATA)], push=True)
        assert "HTTPConnection" not in str(failed.value)


INTERRUPTED = """
import os, sys, threading
from pathlib import Path
sys.path.insert(0, {tests!r})
from places import Machine
from gitexp.store.content import ContentStore
from gitexp.domain.pointer import Pointer
folder = Path({folder!r})
machine = Machine(folder=folder, content=ContentStore(str(folder / ".git" / "gitexp" / "objects")))
pointer = Pointer(sha256={sha256!r}, size_bytes={size})
try:
    getattr(machine.lfs(), {way!r})([pointer], machine.content, lambda size: size and print(size, flush=True))
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.parametrize("way", ["upload", "download"])
def test_ctrl_c_ends_a_transfer(host: LfsHost, ann: Machine, way: str) -> None:
    """In the middle of a transfer, and although the server has gone silent: within 3 seconds."""
    data = os.urandom(3_000_000)
    pointer = ann.put(data)
    stall = threading.Event()
    host.odd = lambda request: (
        Reply(body=data, stall=stall)
        if request.method == "GET"
        else (stall.wait(30), None)[1]
        if request.method == "PUT"
        else None
    )
    if way == "download":
        host.objects[pointer.sha256] = data
        ann.content.remove(pointer.sha256)
    ann.configure("remote.origin.url", host.url)
    script = INTERRUPTED.format(
        tests=str(Path(__file__).parent), folder=str(ann.folder), sha256=pointer.sha256, size=len(data), way=way
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().strip().isdigit()
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=3)
    stall.set()
    assert said.endswith("interrupted\n")
    assert process.returncode == 0
