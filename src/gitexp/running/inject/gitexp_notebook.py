"""Executes a notebook as Jupyter would, prints what its cells print, and writes it with its outputs.

    python gitexp_notebook.py NOTEBOOK

Run by the user's Python, which has nbclient but need not have gitexp. The kernel is this Python's own where the
notebook is Python's, whatever its metadata call the kernel, and works in the notebook's folder. Two variables say what
else there is to do: GITEXP_NOTEBOOK_SOURCE, the file to execute in place of NOTEBOOK; GITEXP_NOTEBOOK_OUTPUT, where the
result goes.
"""

# mypy: ignore-errors

import os
import re
import signal
import sys
import time

SAVE_EVERY_S = 5.0
# What a process started by a cell prints goes where ours goes, at once and in order. ipykernel would copy it to the
# notebook as well, but late: what arrives after the cell's end is lost there, and what is not is printed twice.
KERNEL_ARGUMENTS = ["--IPKernelApp.capture_fd_output=False", "--log-level=40"]
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def main(path):
    source = os.environ.pop("GITEXP_NOTEBOOK_SOURCE", path)
    output = os.environ.pop("GITEXP_NOTEBOOK_OUTPUT", None)
    # The rest of this folder is for the user's Python only where gitexp asks it to.
    sys.path[:] = [entry for entry in sys.path if entry != os.path.dirname(os.path.abspath(__file__))]
    import nbformat
    from nbclient.exceptions import CellExecutionError, DeadKernelError

    notebook = nbformat.read(source, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    stop = _Stop()
    code = 0
    try:
        _execute(notebook, os.path.dirname(os.path.abspath(path)), stop, lambda: _save(notebook, output))
    except CellExecutionError:
        _print_error(notebook)
        code = 1
    except (DeadKernelError, RuntimeError, KeyboardInterrupt) as error:
        if stop.signal is None:
            _write(sys.stderr, f"gitexp: the kernel of '{path}' died: {error}\n")
        code = 1
    finally:
        _save(notebook, output)
    if stop.signal is not None:
        signal.signal(stop.signal, signal.SIG_DFL)
        os.kill(os.getpid(), stop.signal)
    return code


def _execute(notebook, folder, stop, save):
    import nbclient
    from jupyter_client.manager import AsyncKernelManager

    class Client(nbclient.NotebookClient):
        def process_message(self, msg, cell, cell_index):
            if msg["header"]["msg_type"] == "stream":
                content = msg["content"]
                _write(sys.stderr if content["name"] == "stderr" else sys.stdout, content["text"])
            return super().process_message(msg, cell, cell_index)

    name = notebook.metadata.get("kernelspec", {}).get("name") or "python3"
    if _is_python(notebook):
        manager = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=_own_kernels())
        arguments = KERNEL_ARGUMENTS
    else:
        manager, arguments = AsyncKernelManager(kernel_name=name), []
    client = Client(notebook, km=manager, timeout=None, extra_arguments=arguments)
    with client.setup_kernel(cleanup_kc=True, cwd=folder):
        stop.kernel = getattr(manager.provisioner, "pid", None)
        info = client.wait_for_reply(client.kc.kernel_info())
        if info is not None:
            notebook.metadata["language_info"] = info["content"]["language_info"]
        saved = time.monotonic()
        for index, cell in enumerate(notebook.cells):
            if stop.is_final:
                break
            client.execute_cell(cell, index, execution_count=client.code_cells_executed + 1)
            if time.monotonic() - saved > SAVE_EVERY_S:
                save()
                saved = time.monotonic()
        client.set_widgets_metadata()
        stop.kernel = None


class _Stop:
    """Passes a signal on to the kernel, which is out of the terminal's reach, as Jupyter's stop button does."""

    def __init__(self):
        self.kernel = None
        self.signal = None
        for number in STOPPING:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._arrived)

    @property
    def is_final(self):
        return self.signal is not None

    def _arrived(self, number, _frame):
        again, self.signal = self.signal is not None, number
        if self.kernel is None:
            raise KeyboardInterrupt
        os.kill(self.kernel, signal.SIGKILL if again else signal.SIGINT)


def _own_kernels():
    from ipykernel.kernelspec import get_kernel_dict
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager

    class OwnKernel(KernelSpecManager):
        def get_kernel_spec(self, kernel_name):  # noqa: ARG002
            return KernelSpec(**get_kernel_dict())

    return OwnKernel()


def _is_python(notebook):
    metadata = notebook.metadata
    language = metadata.get("kernelspec", {}).get("language") or metadata.get("language_info", {}).get("name")
    return (language or "python").lower() == "python"


def _print_error(notebook):
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if output.output_type == "error":
                text = "\n".join(output.traceback) or f"{output.ename}: {output.evalue}"
                last = text if sys.stderr.isatty() else COLOURS.sub("", text)
    _write(sys.stderr, last.rstrip("\n") + "\n")


def _write(stream, text):
    try:
        stream.buffer.write(text.encode("utf-8", "backslashreplace"))
        stream.flush()
    except (OSError, ValueError):  # nobody reads it; the notebook has it all the same
        pass


def _save(notebook, output):
    if output is None:
        return
    import nbformat

    nbformat.write(notebook, output + ".tmp")
    os.replace(output + ".tmp", output)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
