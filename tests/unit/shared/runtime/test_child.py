"""Children that are real processes of a few lines; what a child reads and answers is in `CHILD`."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest

from shared.runtime.child import Child, ChildDied, ChildError, ChildTimeout, Pool

ROOT = Path(__file__).parents[4]

CHILD = """
import os, sys, threading, time
from shared.runtime.serve import ChildError, serve

def hang(args):
    threading.Event().wait()

def refuse(args):
    raise ChildError("Refused", "not today", {"line": 3})

def stumble(args):
    raise ValueError("the secret is " + args["secret"])

def say(args):
    print("printed", flush=True)
    sys.stderr.write("written " + args["text"] + "\\n")
    return None

def fall(args):
    for part in args["parts"]:
        os.write(2, part.encode())
        time.sleep(0.05)  # so that the parent reads them one by one
    os._exit(2)

serve({
    "fall": fall,
    "echo": lambda args: args,
    "pid": lambda args: os.getpid(),
    "environment": lambda args: dict(os.environ),
    "repeat": lambda args: args["text"] * args["times"],
    "hold": lambda args: len(bytearray(args["bytes"])),
    "exit": lambda args: os._exit(args["code"]),
    "kill": lambda args: os.kill(os.getpid(), 9),
    "hang": hang, "refuse": refuse, "stumble": stumble, "say": say,
})
"""
ARGV = [sys.executable, "-c", CHILD]
ENV = {"PYTHONPATH": str(ROOT)}
LONG_S = 60.0  # never reached by a call that works


@pytest.fixture
async def child() -> AsyncIterator[Child]:
    child = Child(ARGV, name="test child", env=ENV)
    yield child
    await child.close()


async def ask(child: Child | Pool, op: str, **args: object) -> object:
    return msgspec.json.decode(await child.call(op, args, timeout_s=LONG_S))


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


async def eventually(holds: Callable[[], bool], what: str) -> None:
    deadline = asyncio.get_running_loop().time() + 10
    while not holds():
        assert asyncio.get_running_loop().time() < deadline, f"not within 10 s: {what}"
        await asyncio.sleep(0.01)


async def test_a_call_is_answered(child: Child) -> None:
    assert child.pid is None, "started by the first call"
    assert await ask(child, "echo", text="ü\n", number=2**63) == {"text": "ü\n", "number": 2**63}


async def test_one_process_serves_many_calls(child: Child) -> None:
    pids = await asyncio.gather(*(ask(child, "pid") for _ in range(5)))
    assert set(pids) == {child.pid}


async def test_answers_go_to_whom_asked(child: Child) -> None:
    answers = await asyncio.gather(*(ask(child, "echo", number=n) for n in range(20)))
    assert answers == [{"number": n} for n in range(20)]


@pytest.mark.parametrize("size", [65_535, 65_536, 5 << 20], ids=["64 KiB", "just more", "5 MiB"])
async def test_long_lines(child: Child, size: int) -> None:
    assert await ask(child, "repeat", text="x", times=size) == "x" * size
    assert await ask(child, "echo", text="x" * size) == {"text": "x" * size}


@pytest.mark.parametrize("size", [1 << 20, 20 << 20], ids=["just too long", "endless"])
async def test_an_answer_beyond_the_limit_ends_the_process(
    child: Child, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.runtime.child.MAX_ANSWER_BYTES", 1 << 20)
    with pytest.raises(ChildDied, match="larger than 1 MiB"):
        await ask(child, "repeat", text="x", times=size)
    assert await ask(child, "echo") == {}, "the next call finds a new process"


async def test_an_error_keeps_the_process(child: Child) -> None:
    pid = await ask(child, "pid")
    with pytest.raises(ChildError, match="not today") as refused:
        await ask(child, "refuse")
    assert (refused.value.reason, refused.value.details) == ("Refused", {"line": 3})
    assert await ask(child, "pid") == pid


async def test_an_unexpected_error_keeps_its_text_to_itself(child: Child) -> None:
    with pytest.raises(ChildError) as failed:
        await ask(child, "stumble", secret="made-up-canary")
    assert failed.value.reason == "Internal"
    assert "ValueError" in failed.value.message
    assert "made-up-canary" not in failed.value.message


async def test_an_unknown_operation(child: Child) -> None:
    with pytest.raises(ChildError, match="unknown op 'nonsense'"):
        await ask(child, "nonsense")


async def test_what_a_handler_prints_is_no_answer(child: Child) -> None:
    assert await ask(child, "say", text="aside") is None
    await eventually(lambda: "printed\nwritten aside" in child.stderr_tail, child.stderr_tail)


async def test_a_call_out_of_time_is_killed(child: Child) -> None:
    pid = await ask(child, "pid")
    with pytest.raises(ChildTimeout, match=r"test child: 'hang' exceeded 0\.05s"):
        await child.call("hang", {}, timeout_s=0.05)
    assert isinstance(pid, int)
    assert not alive(pid)
    assert await ask(child, "pid") != pid


async def test_a_cancelled_call_is_killed(child: Child) -> None:
    pid = await ask(child, "pid")
    call = asyncio.create_task(ask(child, "hang"))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert isinstance(pid, int)
    assert not alive(pid)
    assert await ask(child, "echo", number=1) == {"number": 1}, "not the cancelled call's answer"


DEATHS: dict[str, tuple[str, dict[str, object], str]] = {
    "it exits": ("exit", {"code": 7}, r"ended during 'exit' \(exit code 7\)"),
    "it is killed": ("kill", {}, r"ended during 'kill' \(killed by SIGKILL\)"),
}


@pytest.mark.parametrize(("op", "args", "message"), DEATHS.values(), ids=DEATHS)
async def test_a_death_is_told_and_mended(
    child: Child, op: str, args: dict[str, object], message: str
) -> None:
    with pytest.raises(ChildDied, match=message):
        await ask(child, op, **args)
    assert await ask(child, "echo") == {}


async def test_a_death_between_calls_goes_unnoticed(child: Child) -> None:
    pid = await ask(child, "pid")
    assert isinstance(pid, int)
    os.kill(pid, 9)
    await eventually(lambda: child.pid is None, "the death is known")
    assert await ask(child, "echo") == {}


async def test_a_program_that_does_not_speak_the_protocol() -> None:
    child = Child(["/bin/echo", "hello"], name="echo")
    with pytest.raises(ChildDied):
        await ask(child, "echo")
    await child.close()


async def test_a_program_that_is_not_there() -> None:
    child = Child(["/nonexistent/program"], name="nothing")
    with pytest.raises(FileNotFoundError):
        await ask(child, "echo")
    await child.close()


async def test_the_environment_is_not_inherited(child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example.com")
    environment = await ask(child, "environment")
    assert isinstance(environment, dict)
    assert set(environment) <= {"LANG", "PYTHONPATH", "LC_CTYPE"}


async def test_the_memory_limit_is_kept() -> None:
    child = Child(ARGV, name="test child", env=ENV, memory_limit_bytes=200 << 20)
    assert await ask(child, "hold", bytes=50 << 20) == 50 << 20
    with pytest.raises(ChildError, match="MemoryError"):
        await ask(child, "hold", bytes=300 << 20)
    await child.close()


SIGNS_OF_DEATH = {
    "Go's heap": (["runtime: out of mem", "ory: cannot allocate"], r"\(out of memory, limit 200 MiB\)"),
    "a thread's stack": (["fatal error: runtime.newosproc errno=", "12"], "out of memory, limit 200 MiB"),
    "queues of Go's collector": (
        ["SIGSEGV: segmentation violation\n", "PC=0x436efd m=2 addr=0x0"],
        "out of memory",
    ),
    "a nil pointer in the program": (
        ["panic: nil pointer dereference\n[signal SIGSEGV: segmentation violation code=0x1 addr=0x0"],
        r"\(exit code 2\)",
    ),
}


@pytest.mark.parametrize(("parts", "said"), SIGNS_OF_DEATH.values(), ids=SIGNS_OF_DEATH)
async def test_what_a_death_was_of(parts: list[str], said: str) -> None:
    child = Child(ARGV, name="test child", env=ENV, memory_limit_bytes=200 << 20)
    with pytest.raises(ChildDied, match=said):
        await ask(child, "fall", parts=parts)
    await child.close()


async def test_close_ends_the_process(child: Child) -> None:
    pid = await ask(child, "pid")
    await child.close()
    assert isinstance(pid, int)
    assert not alive(pid)


async def test_a_killed_parent_leaves_no_child() -> None:
    """In the middle of a call, which the child itself would never end."""
    parent = f"""
import asyncio
from shared.runtime.child import Child
async def main():
    child = Child({ARGV!r}, name="orphan", env={ENV!r})
    print(bytes(await child.call("pid", {{}}, timeout_s=60)).decode(), flush=True)
    await child.call("hang", {{}}, timeout_s=60)
asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", parent, stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    assert process.stdout is not None
    pid = int(await process.stdout.readline())
    assert alive(pid)
    process.kill()
    await process.wait()
    await eventually(lambda: not alive(pid), f"child {pid} ended")


async def test_a_pool_uses_the_child_that_is_free() -> None:
    pool = Pool([Child(ARGV, name=f"test child {n}", env=ENV) for n in range(2)])
    stuck = asyncio.create_task(pool.call("hang", {}, timeout_s=LONG_S))
    await asyncio.sleep(0)
    pids = {await ask(pool, "pid") for _ in range(5)}
    assert len(pids) == 1
    stuck.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stuck
    assert len({await ask(pool, "pid") for _ in range(4)}) == 1, "the one that worked last has a warm memory"
    assert len(set(await asyncio.gather(ask(pool, "pid"), ask(pool, "pid")))) == 2
    await pool.close()
