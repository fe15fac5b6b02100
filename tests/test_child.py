"""A launched child behaves as if nobody watched."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from gitexp.errors import NotFound, UsageError
from gitexp.running.command import Kind, choose_python, resolve
from launching import PATIENCE_S, Terminal, Watcher

PYTHON = sys.executable

SCRIPTS = {
    "both streams": """
        import sys
        for i in range(50):
            print("out", i, flush=True)
            print("err", i, file=sys.stderr, flush=True)
    """,
    "progress bar": """
        import sys
        for i in range(100):
            sys.stderr.write(f"\\r{i:3}%|{'#' * (i // 10):<10}|"); sys.stderr.flush()
        print(file=sys.stderr)
    """,
    "ten megabytes": "import sys; sys.stdout.buffer.write(bytes(range(256)) * 40_000)",
    "binary": "import os; os.write(1, bytes(range(256))); os.write(2, b'\\xff\\x00\\r\\n')",
    "no output": "pass",
    "no newline": "print('end', end='')",
    "exit code": "raise SystemExit(7)",
    "exit code 255": "raise SystemExit(-1)",
    "exit text": "import sys; sys.exit('no data')",
    "traceback": "def f(): raise ValueError('bad')\nf()",
    "syntax error": "def",
    "os._exit": "import os; print('lost in the buffer'); os.write(1, b'kept'); os._exit(3)",
    "SIGKILL": "import os, signal; os.write(1, b'before'); os.kill(os.getpid(), signal.SIGKILL)",
    "SIGSEGV": "import os, signal; os.write(1, b'before'); os.kill(os.getpid(), signal.SIGSEGV)",
    "SIGTERM": "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
    "interrupted": "raise KeyboardInterrupt",
    "reads stdin": "import sys; print(sys.stdin.read().upper())",
    "is no terminal": "import os; print([os.isatty(fd) for fd in (0, 1, 2)])",
    "changes folder": "import os; os.chdir('/'); print(os.getcwd())",
    "arguments": "import sys; print(sys.argv[1:]); sys.argv[1:] = []",
    "default signals": "import signal; print([signal.getsignal(n) for n in (2, 3, 13, 15)])",
    "file descriptors": "import os; print(sorted(os.listdir('/proc/self/fd')))",
    "signal mask": "import signal; print(signal.pthread_sigmask(signal.SIG_BLOCK, []))",
    "environment": "import os; print(sorted(os.environ))",
    "process group": "import os; print(os.getpgrp() == os.getppid() or os.getpgrp() != os.getpid())",
    "threads": """
        import sys, threading
        def shout(stream): [stream.write('x' * 100) for _ in range(1000)]
        threads = [threading.Thread(target=shout, args=[s]) for s in (sys.stdout, sys.stderr)]
        [t.start() for t in threads]; [t.join() for t in threads]
    """,
    "spawned workers": """
        import multiprocessing
        def square(x): return x * x
        if __name__ == "__main__":
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                print(pool.map(square, range(5)))
    """,
    "grandchild": "import subprocess; subprocess.run(['sh', '-c', 'echo from the shell; echo and err >&2; exit 4'])",
    "closed stdout": "import sys; sys.stdout.close()",
}


@pytest.fixture
def watcher(tmp_path: Path) -> Watcher:
    return Watcher(tmp_path)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def script(project: Path, text: str) -> str:
    (project / "script.py").write_text(textwrap.dedent(text))
    return "script.py"


def run(command: list[str], project: Path, environ: dict[str, str], *, merged: bool) -> tuple[int, bytes, bytes]:
    done = subprocess.run(
        command,
        check=False,
        cwd=project,
        env=environ,
        input=b"typed\n",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if merged else subprocess.PIPE,
        timeout=PATIENCE_S,
    )
    return done.returncode, done.stdout, done.stderr or b""


def start(command: list[str], project: Path, watcher: Watcher) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        watcher.command(command),
        cwd=project,
        env=watcher.environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def bare_environ(watcher: Watcher) -> dict[str, str]:
    return {name: value for name, value in watcher.environ().items() if not name.startswith("WATCH")}


@pytest.mark.parametrize("merged", [False, True], ids=["two pipes", "one pipe"])
@pytest.mark.parametrize("style", SCRIPTS)
def test_bytes_order_and_exit_status_are_those_of_the_bare_script(
    style: str, merged: bool, project: Path, watcher: Watcher
) -> None:
    """stdout, stderr and the exit status are the same bytes and number with and without a watcher."""
    command = [PYTHON, script(project, SCRIPTS[style]), "--lr", "0.1"]
    bare = run(command, project, bare_environ(watcher), merged=merged)
    assert run(watcher.command(command), project, watcher.environ(), merged=merged) == bare
    assert len(watcher.log) == len(bare[1]) + len(bare[2])


def test_the_log_has_the_order_of_the_output(project: Path, watcher: Watcher) -> None:
    """Where stdout and stderr go to the same place, what is logged is in exactly the order written."""
    command = watcher.command([PYTHON, script(project, SCRIPTS["both streams"])])
    _, shown, _ = run(command, project, watcher.environ(), merged=True)
    assert watcher.log == shown


def test_a_shell_command_and_a_script_without_interpreter_line_run_as_in_a_shell(
    project: Path, watcher: Watcher
) -> None:
    """Any executable can be launched; one without "#!" is given to sh."""
    tool = project / "tool"
    tool.write_text("echo tool $1; exit 5\n")
    tool.chmod(0o755)
    shell = watcher.command(["sh", "-c", "echo a; echo b >&2; exit 6"])
    assert run(shell, project, watcher.environ(), merged=True) == (6, b"a\nb\n", b"")
    assert run(watcher.command(["./tool", "x"]), project, watcher.environ(), merged=True) == (5, b"tool x\n", b"")


def test_a_reader_that_goes_away_ends_the_child_as_it_would_without_us(project: Path, watcher: Watcher) -> None:
    """`gitexp run yes | head -1`: the child dies of SIGPIPE."""
    with start(["yes"], project, watcher) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"y\n"
        writer.stdout.close()
        assert writer.wait(PATIENCE_S) == -signal.SIGPIPE


def test_a_reader_that_goes_away_is_noticed_before_the_next_write(project: Path, watcher: Watcher) -> None:
    """The very first write after the reader has gone fails, as it does without us."""
    command = [
        PYTHON,
        script(
            project,
            """
            import os, select
            poller = select.poll()
            poller.register(1, 0)
            poller.poll(20_000)
            try:
                os.write(1, b"x")
            except BrokenPipeError:
                os._exit(42)
            """,
        ),
    ]
    with start(command, project, watcher) as writer:
        assert writer.stdout is not None
        writer.stdout.close()
        assert writer.wait(PATIENCE_S) == 42


def test_a_closed_stdout_is_no_trouble(project: Path, watcher: Watcher) -> None:
    """`gitexp run ... >&-` still runs the command, and writes nothing anywhere it should not."""
    line = subprocess.list2cmdline(watcher.command([PYTHON, "-c", "import os; os.write(2, b'err')"]))
    done = subprocess.run(
        ["sh", "-c", f"{line} >&-"], check=False, cwd=project, env=watcher.environ(), stderr=subprocess.PIPE
    )
    assert (done.returncode, done.stderr, watcher.log) == (0, b"err", b"err")


def test_a_process_left_behind_holds_nobody_up_and_can_still_write(project: Path, watcher: Watcher) -> None:
    """A background process outlives the script: gitexp ends with the script, and later output still arrives."""
    os.mkfifo(project / "go")
    with start(["sh", "-c", "(read word < go; echo late $word) & echo early"], project, watcher) as child:
        assert child.stdout is not None
        assert child.wait(PATIENCE_S) == 0
        (project / "go").write_text("bird\n")
        assert child.stdout.read() == b"early\nlate bird\n"


def test_a_full_pipe_of_one_stream_does_not_stop_the_other(project: Path, watcher: Watcher) -> None:
    """While nobody reads stdout, stderr goes on."""
    command = [
        PYTHON,
        script(
            project,
            """
            import os, threading
            threading.Thread(target=os.write, args=[1, bytes(1_000_000)]).start()
            for i in range(100):
                os.write(2, b"e" * 1000)
            """,
        ),
    ]
    with start(command, project, watcher) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        assert len(child.stderr.read(100_000)) == 100_000
        assert len(child.stdout.read()) == 1_000_000
        assert child.wait(PATIENCE_S) == 0


def test_in_a_terminal_the_child_sees_a_terminal(project: Path, watcher: Watcher) -> None:
    """All three streams are terminals of the real size, and the bytes shown are those of the bare script."""
    command = [
        PYTHON,
        script(
            project,
            """
            import os, shutil, sys
            print([os.isatty(fd) for fd in (0, 1, 2)], os.get_terminal_size(1), shutil.get_terminal_size())
            sys.stderr.write("\\r 50%\\r100%\\n")
            """,
        ),
    ]
    bare = Terminal(command, cwd=project, environ=bare_environ(watcher), size=(33, 77))
    assert bare.wait() == 0
    watched = Terminal(watcher.command(command), cwd=project, environ=watcher.environ(), size=(33, 77))
    assert watched.wait() == 0
    assert watched.shown == bare.shown
    assert b"[True, True, True]" in watched.shown
    assert b"columns=77" in watched.shown
    assert watcher.log == watched.shown.replace(b"\r\n", b"\n")


def test_prompts_work_in_a_terminal(project: Path, watcher: Watcher) -> None:
    """input() echoes what is typed, getpass does not."""
    command = [PYTHON, script(project, "import getpass; print('hi', input('name? '), len(getpass.getpass()))")]
    terminal = Terminal(watcher.command(command), cwd=project, environ=watcher.environ())
    terminal.wait_for(b"name? ")
    terminal.type(b"ann\n")
    terminal.wait_for(b"Password: ")
    terminal.type(b"secret\n")
    assert terminal.wait() == 0
    assert terminal.shown.replace(b"\r", b"") == b"name? ann\nPassword: \nhi ann 6\n"


def test_one_stream_in_a_terminal_and_one_not(project: Path, watcher: Watcher) -> None:
    """`gitexp run ... 2> file` in a terminal: only stdout is one."""
    inner = [PYTHON, "-c", "import os; print(os.isatty(1), os.isatty(2)); os.write(2, b'err')"]
    shell = ["/bin/sh", "-c", '"$@" 2> err.txt', "sh", *watcher.command(inner)]
    terminal = Terminal(shell, cwd=project, environ=watcher.environ())
    assert terminal.wait() == 0
    assert terminal.shown == b"True False\r\n"
    assert (project / "err.txt").read_bytes() == b"err"


def test_a_resized_terminal_reaches_the_child(project: Path, watcher: Watcher) -> None:
    """SIGWINCH arrives after the child's terminal has taken the new size."""
    command = [
        PYTHON,
        script(
            project,
            """
            import os, signal, time
            def show(*_): os.write(1, b"size %d\\n" % os.get_terminal_size(1).columns)
            signal.signal(signal.SIGWINCH, show)
            print("ready", flush=True)
            while True: time.sleep(0.01)
            """,
        ),
    ]
    terminal = Terminal(watcher.command(command), cwd=project, environ=watcher.environ())
    terminal.wait_for(b"ready")
    terminal.resize(50, 132)
    terminal.wait_for(b"size 132")
    terminal.kill(signal.SIGTERM)
    assert terminal.wait() == -signal.SIGTERM


COUNTING = """
    import os, signal, sys, time
    counts = {}
    def count(number, _): counts[number] = counts.get(number, 0) + 1; os.write(1, b"got %d\\n" % number)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1"):
        signal.signal(getattr(signal, name), count)
    print("ready", flush=True)
    while signal.SIGUSR1 not in counts:
        time.sleep(0.01)
    others = {number: count for number, count in counts.items() if number != signal.SIGUSR1}
    print("counted", others, flush=True)
"""

SENDERS = {
    "Ctrl-C": (lambda terminal: terminal.type(b"\x03"), signal.SIGINT),
    "Ctrl-backslash": (lambda terminal: terminal.type(b"\x1c"), signal.SIGQUIT),
    "kill -INT": (lambda terminal: terminal.kill(signal.SIGINT), signal.SIGINT),
    "kill -TERM": (lambda terminal: terminal.kill(signal.SIGTERM), signal.SIGTERM),
    "kill -HUP": (lambda terminal: terminal.kill(signal.SIGHUP), signal.SIGHUP),
    "killpg INT": (lambda terminal: terminal.kill_group(signal.SIGINT), signal.SIGINT),
    "killpg TERM": (lambda terminal: terminal.kill_group(signal.SIGTERM), signal.SIGTERM),
}


@pytest.mark.parametrize("sender", SENDERS)
def test_in_a_terminal_each_signal_reaches_the_child_once(sender: str, project: Path, watcher: Watcher) -> None:
    """Typed, sent to our process or to our whole group, twice: the child counts two, and we live on."""
    send, number = SENDERS[sender]
    command = [PYTHON, script(project, COUNTING)]
    terminal = Terminal(watcher.command(command), cwd=project, environ=watcher.environ())
    terminal.wait_for(b"ready")
    for times in (1, 2):
        send(terminal)
        terminal.wait_for(b"got %d" % number, times)
    terminal.kill(signal.SIGUSR1)
    assert terminal.wait() == 0
    assert b"counted {%d: 2}" % number in terminal.shown


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
@pytest.mark.parametrize("to_group", [False, True], ids=["kill", "killpg"])
def test_without_a_terminal_each_signal_reaches_the_child_once(
    number: signal.Signals, to_group: bool, project: Path, watcher: Watcher
) -> None:
    """As above, where there is no terminal: in CI, under a batch system."""
    with start([PYTHON, script(project, COUNTING)], project, watcher) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        (os.killpg if to_group else os.kill)(child.pid, number)
        assert child.stdout.readline() == b"got %d\n" % number
        os.kill(child.pid, signal.SIGUSR1)
        assert child.stdout.read() == b"got 10\ncounted {%d: 1}\n" % number
        assert child.wait(PATIENCE_S) == 0


@pytest.mark.parametrize("to_group", [False, True], ids=["kill", "killpg"])
def test_grandchildren_get_what_the_group_gets(to_group: bool, project: Path, watcher: Watcher) -> None:
    """A process the script started gets a signal to the group, and none that was for the script alone."""
    inner = f"""
        import signal, subprocess, sys, time
        child = subprocess.Popen([sys.executable, "-c", {textwrap.dedent(COUNTING)!r}], stdout=subprocess.PIPE)
        child.stdout.readline()
        got = []
        signal.signal(signal.SIGTERM, lambda number, _: got.append(number))
        print("ready", flush=True)
        while not got: time.sleep(0.01)
        child.send_signal(signal.SIGUSR1)
        print(child.stdout.read().decode().split("counted ")[1])
    """
    with start([PYTHON, script(project, inner)], project, watcher) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        (os.killpg if to_group else os.kill)(child.pid, signal.SIGTERM)
        assert child.stdout.read() == (b"{15: 1}\n\n" if to_group else b"{}\n\n")
        assert child.wait(PATIENCE_S) == 0


def test_ctrl_c_ends_a_script_as_it_does_without_us(project: Path, watcher: Watcher) -> None:
    """The child dies of SIGINT with its traceback, and so do we; the result knows what asked it to stop."""
    command = [PYTHON, script(project, "import time\nprint('ready', flush=True)\ntime.sleep(20)")]
    terminal = Terminal(watcher.command(command), cwd=project, environ=watcher.environ())
    terminal.wait_for(b"ready")
    terminal.type(b"\x03")
    assert terminal.wait() == -signal.SIGINT
    assert terminal.shown.count(b"KeyboardInterrupt") == 1
    assert watcher.result == ["None", "2", "2"]


def test_an_ignored_signal_stays_ignored(project: Path, watcher: Watcher) -> None:
    """Under nohup, or in the background of a shell script, the child ignores what we ignore."""
    inner = [PYTHON, "-c", "import signal; print(signal.getsignal(signal.SIGHUP), signal.getsignal(signal.SIGINT))"]
    shell = ["sh", "-c", 'trap "" HUP INT; exec "$@"', "sh", *watcher.command(inner)]
    done = subprocess.run(shell, check=False, cwd=project, env=watcher.environ(), stdout=subprocess.PIPE)
    assert done.stdout == b"1 1\n"


SHELL = """
    import os, signal, sys
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    job = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, setpgroup=0, setsigdef=[signal.SIGTTOU])
    while True:
        os.tcsetpgrp(0, job)
        os.killpg(job, signal.SIGCONT)
        _, status = os.waitpid(job, os.WUNTRACED)
        os.tcsetpgrp(0, os.getpgrp())
        if not os.WIFSTOPPED(status):
            sys.exit(os.waitstatus_to_exitcode(status))
        print("prompt", flush=True)
        sys.stdin.readline()
"""


def test_job_control_stops_and_resumes_both(project: Path, watcher: Watcher) -> None:
    """Ctrl-Z gives the shell its prompt back and `fg` goes on, and a script that stops itself stops us too."""
    text = """
        import os, signal, time
        resumed = []
        signal.signal(signal.SIGCONT, lambda *_: resumed.append(1))
        time.sleep(0.01)
        resumed.clear()
        print("first", flush=True)
        while not resumed:
            time.sleep(0.01)
        print("second", flush=True)
        os.kill(os.getpid(), signal.SIGSTOP)
        print("third", flush=True)
        raise SystemExit(3)
    """
    (project / "shell.py").write_text(textwrap.dedent(SHELL))
    command = [PYTHON, "shell.py", *watcher.command([PYTHON, script(project, text)])]
    shell = Terminal(command, cwd=project, environ=watcher.environ())
    shell.wait_for(b"first")
    shell.type(b"\x1a")
    shell.wait_for(b"prompt")
    shell.type(b"fg\n")
    shell.wait_for(b"second")
    shell.wait_for(b"prompt", 2)
    shell.type(b"fg\n")
    shell.wait_for(b"third")
    assert shell.wait() == 3


def test_what_cannot_run_is_said_before_anything_is_recorded(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing script or command, a file that is not executable or has no interpreter: each error names it."""
    monkeypatch.chdir(project)
    (project / "train.py").write_text("")
    (project / "data.txt").write_text("")
    (project / "tool.sh").write_text("#!/bin/sh\n")
    (project / "odd").write_text("#!/no/such/interpreter\n")
    (project / "odd").chmod(0o755)
    (project / "package").mkdir()
    cases = [
        (Kind.FILE, "trian.py", NotFound, "There is no script 'trian.py' here."),
        (Kind.FILE, "train", NotFound, "There is no script 'train' here."),
        (Kind.FILE, "package", UsageError, "no '__main__.py'"),
        (Kind.FILE, "tool.sh", UsageError, "'tool.sh' is not a Python script."),
        (Kind.COMMAND, "no-such-command", NotFound, "There is no command 'no-such-command'."),
        (Kind.COMMAND, "./data.txt", UsageError, "'./data.txt' is not executable."),
        (Kind.COMMAND, "./odd", NotFound, "'/no/such/interpreter', which is not there"),
    ]
    for kind, word, expected, message in cases:
        with pytest.raises(expected) as caught:
            resolve(kind, [word], os.environ)
        assert message in str(caught.value)
    with pytest.raises(UsageError):
        resolve(Kind.COMMAND, [], os.environ)
    with pytest.raises(NotFound) as caught:
        resolve(Kind.FILE, ["train"], os.environ)
    assert caught.value.hint == "gitexp run train.py"


def test_python_is_that_of_the_active_environment(project: Path) -> None:
    """VIRTUAL_ENV's Python runs the script, then CONDA_PREFIX's, then the one gitexp runs in."""
    python = project / "bin" / "python"
    python.parent.mkdir()
    python.write_text("#!/bin/sh\n")
    python.chmod(0o755)
    assert choose_python({"VIRTUAL_ENV": str(project)}) == str(python)
    assert choose_python({"CONDA_PREFIX": str(project)}) == str(python)
    assert choose_python({"VIRTUAL_ENV": sys.prefix, "CONDA_PREFIX": str(project)}) == sys.executable
    assert choose_python({"VIRTUAL_ENV": "/nowhere"}) == sys.executable
    assert choose_python({}) == sys.executable


def test_scripts_modules_and_commands_become_what_is_executed(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The arguments are passed on as they are; the record shows what a person would type."""
    monkeypatch.chdir(project)
    (project / "train.py").write_text("")
    a_file = resolve(Kind.FILE, ["train.py", "--lr", "0.1"], {})
    assert a_file.arguments == [sys.executable, "train.py", "--lr", "0.1"]
    assert (a_file.shown, a_file.entry_point) == (["python", "train.py", "--lr", "0.1"], "train.py")
    a_module = resolve(Kind.MODULE, ["pkg.train", "-x"], {})
    assert (a_module.arguments[1:], a_module.entry_point) == (["-m", "pkg.train", "-x"], "pkg.train")
    a_command = resolve(Kind.COMMAND, ["sh", "-c", "true"], {"PATH": "/usr/bin:/bin"})
    assert (a_command.arguments, a_command.entry_point) == (["sh", "-c", "true"], "sh")
    assert resolve(Kind.COMMAND, [PYTHON, "-u", "train.py"], {}).entry_point == "train.py"
