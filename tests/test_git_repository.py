"""Finding, making and configuring repositories: as the real git does."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import Git
from gitexp.errors import CorruptData, NotARepository
from gitexp.store.git.config import is_true, read_file
from gitexp.store.git.repository import GitRepository, Head, discover, init


def by_git(folder: Path, **environ: str) -> dict[str, str | None]:
    """What git says about the repository it finds in `folder`, None where it refuses to answer."""

    def ask(*words: str) -> str | None:
        done = subprocess.run(
            ["git", *words], cwd=folder, env={**os.environ, **environ}, capture_output=True, text=True, check=False
        )
        return None if done.returncode else done.stdout.rstrip("\n")

    def path(*words: str) -> str | None:
        answer = ask("rev-parse", *words)
        return answer and os.path.realpath(os.path.join(folder, answer))

    return {
        "git_dir": path("--absolute-git-dir"),
        "common_dir": path("--git-common-dir"),
        "work_tree": path("--show-toplevel"),
        "object_dir": path("--git-path", "objects"),
        "index_file": path("--git-path", "index"),
        "commit": ask("rev-parse", "-q", "--verify", "HEAD"),
        "branch": ask("symbolic-ref", "-q", "--short", "HEAD"),
    }


def by_us(folder: Path, **environ: str) -> dict[str, str | None]:
    found = discover(folder, {**os.environ, **environ})
    head = found.head()
    return {
        "git_dir": found.git_dir,
        "common_dir": found.common_dir,
        "work_tree": found.work_tree and os.path.realpath(found.work_tree),
        "object_dir": os.path.realpath(found.object_dir),
        "index_file": os.path.realpath(found.index_file),
        "commit": head.commit,
        "branch": head.branch,
    }


def assert_found_as_git_does(folder: Path, **environ: str) -> GitRepository:
    assert by_us(folder, **environ) == by_git(folder, **environ)
    return discover(folder, {**os.environ, **environ})


def test_a_repository_is_found_from_below(repo_dir: Path) -> None:
    """From the root, a folder in it, a symbolic link to one, and inside `.git`, git and we find the same."""
    deep = repo_dir / "a/b"
    deep.mkdir(parents=True)
    link = repo_dir.parent / "link"
    link.symlink_to(deep)
    for folder in (repo_dir, deep, link, repo_dir / ".git", repo_dir / ".git/refs/heads"):
        found = assert_found_as_git_does(folder)
    assert found.gitexp_dir == f"{repo_dir}/.git/gitexp"


def test_heads_of_every_kind(repo_dir: Path, git: Git) -> None:
    """Detached, packed, unborn and in a deep branch, HEAD is what git says."""
    commit = git("rev-parse", "HEAD", cwd=repo_dir).strip()
    git("checkout", "-q", "--detach", cwd=repo_dir)
    assert assert_found_as_git_does(repo_dir).head() == Head(commit, None)
    git("checkout", "-q", "-b", "feature/x", cwd=repo_dir)
    git("pack-refs", "--all", cwd=repo_dir)
    assert assert_found_as_git_does(repo_dir).head() == Head(commit, "feature/x")
    git("checkout", "-q", "--orphan", "fresh", cwd=repo_dir)
    assert assert_found_as_git_does(repo_dir).head() == Head(None, "fresh")


def test_a_linked_worktree(repo_dir: Path, git: Git, tmp_path: Path) -> None:
    """Its own HEAD and index, shared objects and refs; also where it was made in a bare repository."""
    git("worktree", "add", "-q", str(tmp_path / "side"), cwd=repo_dir)
    found = assert_found_as_git_does(tmp_path / "side")
    assert found.common_dir == f"{repo_dir}/.git"
    git("clone", "-q", "--bare", str(repo_dir), str(tmp_path / "bare.git"), cwd=tmp_path)
    git("worktree", "add", "-q", str(tmp_path / "of-bare"), cwd=tmp_path / "bare.git")
    assert assert_found_as_git_does(tmp_path / "of-bare").work_tree == str(tmp_path / "of-bare")
    git("config", "extensions.worktreeConfig", "true", cwd=repo_dir)
    git("config", "--worktree", "user.name", "Side", cwd=tmp_path / "side")
    assert assert_found_as_git_does(tmp_path / "side").identity()[0] == "Side"
    assert assert_found_as_git_does(repo_dir).identity()[0] == "Ann Lee"


def test_a_bare_repository(repo_dir: Path, git: Git, tmp_path: Path) -> None:
    """It has no work tree."""
    git("clone", "-q", "--bare", str(repo_dir), str(tmp_path / "bare.git"), cwd=tmp_path)
    assert assert_found_as_git_does(tmp_path / "bare.git").work_tree is None


def test_a_submodule(repo_dir: Path, git: Git, tmp_path: Path) -> None:
    """A submodule is a repository of its own, whose git directory lies in the outer one."""
    git("clone", "-q", str(repo_dir), str(tmp_path / "part"), cwd=tmp_path)
    git("-c", "protocol.file.allow=always", "submodule", "-q", "add", str(tmp_path / "part"), "sub", cwd=repo_dir)
    assert assert_found_as_git_does(repo_dir / "sub").git_dir == f"{repo_dir}/.git/modules/sub"


def test_variables_of_git_are_honoured(repo_dir: Path, git: Git, tmp_path: Path) -> None:
    """GIT_DIR, GIT_WORK_TREE, GIT_INDEX_FILE and GIT_OBJECT_DIRECTORY lead where git goes, absolute or relative."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert_found_as_git_does(elsewhere, GIT_DIR=f"{repo_dir}/.git")
    assert_found_as_git_does(elsewhere, GIT_DIR="../project/.git", GIT_WORK_TREE="../project")
    assert_found_as_git_does(elsewhere, GIT_DIR="../project/.git", GIT_WORK_TREE=str(tmp_path))
    assert_found_as_git_does(repo_dir, GIT_INDEX_FILE=f"{tmp_path}/index")
    assert_found_as_git_does(repo_dir, GIT_OBJECT_DIRECTORY=f"{repo_dir}/.git/objects")
    git("config", "core.worktree", str(elsewhere), cwd=repo_dir)
    assert_found_as_git_does(elsewhere, GIT_DIR=f"{repo_dir}/.git")
    with pytest.raises(NotARepository, match="GIT_DIR"):
        discover(repo_dir, {"GIT_DIR": str(elsewhere)})


def test_looking_stops_where_git_stops(repo_dir: Path) -> None:
    """GIT_CEILING_DIRECTORIES is not passed; the folder itself is still looked at."""
    deep = repo_dir / "a/b"
    deep.mkdir(parents=True)
    assert by_git(deep, GIT_CEILING_DIRECTORIES=str(repo_dir))["git_dir"] is None
    with pytest.raises(NotARepository, match="not in a git repository"):
        discover(deep, {"GIT_CEILING_DIRECTORIES": f"relative:{repo_dir}"})
    assert_found_as_git_does(repo_dir, GIT_CEILING_DIRECTORIES=str(repo_dir))
    assert_found_as_git_does(deep, GIT_CEILING_DIRECTORIES=str(repo_dir.parent))


def test_alternates_of_alternates_are_found(repo_dir: Path, git: Git, tmp_path: Path) -> None:
    """Object directories that are borrowed from, in a file or a variable, relative or quoted, each once."""
    git("clone", "-q", "--shared", str(repo_dir), str(tmp_path / "b"), cwd=tmp_path)
    git("clone", "-q", "--shared", str(tmp_path / "b"), str(tmp_path / "c"), cwd=tmp_path)
    more = tmp_path / "more é"
    git("init", "-q", str(more), cwd=tmp_path)
    info = tmp_path / "c/.git/objects/info/alternates"
    info.write_text("# comment\n\n../../../b/.git/objects\n/nowhere\n")
    quoted = '"' + str(more / ".git/objects").replace("é", "\\303\\251") + '"'
    found = discover(tmp_path / "c", {"GIT_ALTERNATE_OBJECT_DIRECTORIES": quoted})
    expected = {f"{tmp_path}/b/.git/objects", f"{repo_dir}/.git/objects", f"{more}/.git/objects"}
    assert set(found.alternates) == expected
    assert len(found.alternates) == 3


@pytest.mark.parametrize(
    ("version", "extension", "value"),
    [("2", "", ""), ("1", "objectFormat", "sha256"), ("1", "refStorage", "reftable"), ("1", "future", "on")],
)
def test_a_repository_we_cannot_read_is_refused(repo_dir: Path, version: str, extension: str, value: str) -> None:
    """Unknown formats and extensions are named, never guessed at."""
    with open(repo_dir / ".git/config", "a") as file:
        file.write(f"[core]\n\trepositoryformatversion = {version}\n")
        if extension:
            file.write(f"[extensions]\n\t{extension} = {value}\n")
    with pytest.raises(NotARepository, match=extension.lower() or "format version '2'"):
        discover(repo_dir, {})


def test_harmless_extensions_are_taken(repo_dir: Path, git: Git) -> None:
    """What git sets for partial clones and worktree configuration, and defaults spelled out, are no obstacle."""
    git("config", "core.repositoryFormatVersion", "1", cwd=repo_dir)
    for name, value in [("objectFormat", "sha1"), ("partialClone", "origin"), ("worktreeConfig", "true")]:
        git("config", f"extensions.{name}", value, cwd=repo_dir)
    assert_found_as_git_does(repo_dir)


@pytest.mark.parametrize("content", ["", "gitdir: /nowhere\n", "garbage\n"])
def test_a_git_file_that_leads_nowhere_is_told(tmp_path: Path, content: str) -> None:
    """A broken `.git` file is an error of its own: the repository above it is not meant."""
    (tmp_path / ".git").write_text(content)
    with pytest.raises(NotARepository, match="does not lead"):
        discover(tmp_path, {})


def test_a_folder_called_git_is_no_repository(tmp_path: Path) -> None:
    """An empty `.git` is passed over, as git does."""
    (tmp_path / "a/.git").mkdir(parents=True)
    with pytest.raises(NotARepository) as caught:
        discover(tmp_path / "a", {"GIT_CEILING_DIRECTORIES": str(tmp_path)})
    assert "gitexp init" in caught.value.hint


@pytest.mark.parametrize("environ", [{}, {"GIT_CONFIG_GLOBAL": "own"}])
def test_what_init_makes_git_takes(tmp_path: Path, git: Git, environ: dict[str, str]) -> None:
    """A repository made without git takes commits from it; the first branch is `main`, or as configured."""
    if environ:
        (tmp_path / "own").write_text("[init]\n\tdefaultBranch = trunk\n[user]\n\tname = A\n\temail = a@b\n")
        environ = {"GIT_CONFIG_GLOBAL": str(tmp_path / "own")}
    folder = tmp_path / "new/project"
    made = init(folder, {**os.environ, **environ})
    assert made.head() == Head(None, "trunk" if environ else "main")
    assert_found_as_git_does(folder)
    (folder / "a").write_text("a")
    git("add", "a", cwd=folder, **environ)
    git("commit", "-q", "-m", "first", cwd=folder, **environ)
    git("fsck", "--strict", cwd=folder)
    head = git("rev-parse", "HEAD", cwd=folder).strip()
    assert init(folder, os.environ).head().commit == head, "a second init changes nothing"


def test_init_needs_no_environment(tmp_path: Path) -> None:
    """Without HOME or anything else, the first branch is `main`."""
    assert init(tmp_path / "new").head() == Head(None, "main")


def in_file(path: Path) -> list[tuple[str, str]]:
    """Names and values of one file, by git."""
    out = subprocess.run(
        ["git", "config", "--no-includes", "-z", "--list", "--file", str(path)], check=True, capture_output=True
    ).stdout.decode()
    pairs = [entry.partition("\n") for entry in out.split("\0")[:-1]]
    return [(name, value if mark else "true") for name, mark, value in pairs]


def in_file_by_us(path: Path) -> dict[str, list[str]]:
    return {
        ".".join(part for part in (section, subsection, name) if part): values
        for (section, subsection, name), values in read_file(str(path)).values.items()
    }


CONFIGS = [
    "[a]\nb = c\n",
    '[a]\n\tb=c  \n\tB = d # comment\n;x\n[A] b="  e ; " # f\n',
    '[a "Sub.Sec \\"x\\\\y"]\n  key-1 = one \\\n two\n',
    "[a.SubLow]\nk = v\n[a]flag\n[b]\n flag2\n\n",
    '[x]\n q = "a\\tb\\nc\\\\d\\"e"f"g h"  \n r = a"b c"d\n e =\n s = ""\n',
    '\ufeff[a]\r\nb = c\r\nd = "x"\r\n',
    '[alias]\n\tl = log --format=\'%h %s\' # no\n\tx = "!f() { echo \\"$1\\"; }; f"\n',
    "[a]\nb = c",
    '[a]\nb = "c',
    "[a\nb = c\n",
    "b = c\n",
    "[a]\n1b = c\n",
    "[a]\nb c\n",
    "[a]\nb = \\q\n",
    '[a "b\nc"]\nd = e\n',
    "[a] # comment\nb = c # d\n",
    "",
    "[a]\nb = é\xa0\n",
]


@pytest.mark.parametrize("text", CONFIGS)
def test_a_configuration_file_reads_as_git_reads_it(tmp_path: Path, text: str) -> None:
    """Quotes, escapes, comments, continuations and odd sections; what git calls bad, we call bad."""
    path = tmp_path / "config"
    path.write_text(text, encoding="utf-8", newline="")
    try:
        expected = in_file(path)
    except subprocess.CalledProcessError:
        with pytest.raises(CorruptData, match="line"):
            in_file_by_us(path)
        return
    assert sorted((name, value) for name, values in in_file_by_us(path).items() for value in values) == sorted(expected)


@settings(max_examples=60, deadline=None)
@given(text=st.text(st.sampled_from('ab =\n"\\#;[].n'), max_size=14))
def test_any_value_reads_as_git_reads_it(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """Random text after a section reads the same, or is refused by both."""
    test_a_configuration_file_reads_as_git_reads_it(tmp_path_factory.mktemp("config"), f"[s]\n{text}\n")


def both(repo: Path, name: str, **environ: str) -> str | None:
    """A value, after checking that git says the same."""
    done = subprocess.run(
        ["git", "config", "--get", name],
        cwd=repo,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    section, *subsection, key = name.split(".")
    ours = discover(repo, {**os.environ, **environ}).config(section, key, ".".join(subsection) or None)
    assert ours == (None if done.returncode else done.stdout.rstrip("\n"))
    return ours


def test_later_files_and_the_environment_win(repo_dir: Path, git: Git, tmp_path: Path) -> None:
    """System, XDG, home, repository and GIT_CONFIG_COUNT, in git's order."""
    system, xdg = tmp_path / "system", tmp_path / "xdg/git/config"
    xdg.parent.mkdir(parents=True)
    home = Path(os.environ["HOME"]) / ".gitconfig"
    environ = {"GIT_CONFIG_SYSTEM": str(system), "GIT_CONFIG_NOSYSTEM": "0", "XDG_CONFIG_HOME": str(tmp_path / "xdg")}
    assert both(repo_dir, "test.where", **environ) is None
    for path in (system, xdg, home, repo_dir / ".git/config"):
        with open(path, "a") as file:
            file.write(f"[test]\n\twhere = {path}\n")
        assert both(repo_dir, "test.where", **environ) == str(path)
    extra = {"GIT_CONFIG_COUNT": "2", "GIT_CONFIG_KEY_0": "test.Sub.Where.where", "GIT_CONFIG_VALUE_0": "x"}
    extra |= {"GIT_CONFIG_KEY_1": "Test.WHERE", "GIT_CONFIG_VALUE_1": "environment"}
    assert both(repo_dir, "test.where", **environ, **extra) == "environment"
    assert both(repo_dir, "test.Sub.Where.where", **environ, **extra) == "x"
    git("config", "--unset", "test.where", cwd=repo_dir)
    assert both(repo_dir, "test.where", GIT_CONFIG_GLOBAL=str(system)) == str(system)
    assert both(repo_dir, "test.where", **environ | {"GIT_CONFIG_NOSYSTEM": "1"}) == str(home)


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("gitdir:{repo}/.git", True),
        ("gitdir:{repo}/", True),
        ("gitdir:{parent}/", True),
        ("gitdir:{parent}", False),
        ("gitdir:~/", False),
        ("gitdir:project/", True),
        ("gitdir:PROJECT/", False),
        ("gitdir/i:PROJECT/", True),
        ("gitdir:proj*/.git", True),
        ("gitdir:**/.git", True),
        ("gitdir:{parent}/pro?ect/.gi[s-u]", True),
        ("gitdir:{parent}/*", False),
        ("onbranch:feature/", True),
        ("onbranch:feature/x", True),
        ("onbranch:feature", False),
        ("onbranch:f*/x", True),
        ("hasconfig:remote.*.url:https://example.org/**", True),
        ("hasconfig:remote.*.url:https://example.com/**", False),
        ("unknown:x", False),
    ],
)
def test_conditional_includes_hold_as_in_git(repo_dir: Path, git: Git, condition: str, holds: bool) -> None:
    """Each kind of includeIf decides as the real git decides."""
    git("checkout", "-q", "-b", "feature/x", cwd=repo_dir)
    git("remote", "add", "origin", "https://example.org/a/b.git", cwd=repo_dir)
    condition = condition.format(repo=repo_dir, parent=repo_dir.parent)
    home = Path(os.environ["HOME"])
    (home / "more").write_text("[test]\n\tincluded = yes\n")
    (home / ".gitconfig").write_text(f'[includeIf "{condition}"]\n\tpath = more\n')
    assert (both(repo_dir, "test.included") == "yes") == holds


def test_includes_nest_and_a_circle_ends(repo_dir: Path) -> None:
    """Relative to the including file, `~/` to the home; a missing file is nothing, a circle is an error."""
    home = Path(os.environ["HOME"])
    (home / "a").write_text("[include]\n\tpath = sub/b\n\tpath = missing\n")
    (home / "sub").mkdir()
    (home / "sub/b").write_text("[include]\n\tpath = ../c\n")
    (home / "c").write_text("[test]\n\tdeep = yes\n")
    with open(repo_dir / ".git/config", "a") as file:
        file.write("[include]\n\tpath = ~/a\n")
    assert both(repo_dir, "test.deep") == "yes"
    (home / "c").write_text("[include]\n\tpath = a\n")
    with pytest.raises(CorruptData, match="too deeply"):
        discover(repo_dir, os.environ).config("test", "deep")


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"GIT_AUTHOR_NAME": "Zoë", "GIT_AUTHOR_EMAIL": "z@x"},
        {"GIT_AUTHOR_NAME": "Zoë"},
        {"EMAIL": "e@mail"},
        {"GIT_CONFIG_GLOBAL": "/dev/null", "EMAIL": "e@mail", "GIT_AUTHOR_NAME": "A"},
        {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "author.name", "GIT_CONFIG_VALUE_0": "The Author"},
    ],
)
def test_the_author_is_the_one_git_names(repo_dir: Path, git: Git, environ: dict[str, str]) -> None:
    """`git var GIT_AUTHOR_IDENT` names the same person."""
    name, email = discover(repo_dir, {**os.environ, **environ}).identity()
    assert git("var", "GIT_AUTHOR_IDENT", cwd=repo_dir, **environ).startswith(f"{name} <{email}> ")


def test_there_is_always_an_author(repo_dir: Path) -> None:
    """Where nothing is configured, the login and the host stand in."""
    name, email = discover(repo_dir, {}).identity()
    assert name
    assert email.endswith(f"@{os.uname().nodename}")


@pytest.mark.parametrize("value", ["true", "Yes", "on", "1", "false", "no", "OFF", "0", "", "7", "-1"])
def test_yes_and_no_are_git_s(repo_dir: Path, git: Git, value: str) -> None:
    """Every spelling of a boolean means what `git config --type=bool` says."""
    git("config", "test.flag", value, cwd=repo_dir)
    expected = git("config", "--type=bool", "test.flag", cwd=repo_dir).strip() == "true"
    assert is_true(value) == expected
    assert discover(repo_dir, os.environ).config_flag("test", "flag", default=not expected) == expected
