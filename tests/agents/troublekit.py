"""troublekit.py — an agent in trouble: killed in the midst of an answer, its network refused, the gate killed; without us and with us.

An agent has place, server, env, command, files() and gates() (claudekit.py, geminikit.py); its server stops in the midst of the first answer for WAIT. Where it is to
speak to its model by the real name, untapped and without a gate, it needs a namespace in which that name is this machine's: enter()."""
import glob
import os
import signal
import subprocess
import sys
import tempfile
import time

INSIDE = "VCR_TEST_INSIDE"
WAIT = {"wait": "mid", "after": "6"}
LONG = 280  # seconds for an agent to end


def enter(host, program):
    """That program again, in such a namespace; returns inside of it, and where there can be none."""
    if inside():
        return
    hosts = tempfile.NamedTemporaryFile("w", prefix="vcr-hosts.", delete=False)
    hosts.write("127.0.0.1 localhost %s\n" % host)
    hosts.close()
    way = ["unshare", "-rnm", "sh", "-c", 'ip link set lo up && mount --bind "$0" /etc/hosts && exec "$@"', hosts.name]
    try:
        if subprocess.run([*way, "grep", "-q", host, "/etc/hosts"], stderr=subprocess.DEVNULL).returncode == 0:
            sys.exit(subprocess.run([*way, sys.executable, os.path.abspath(program)], env=dict(os.environ, **{INSIDE: "1"})).returncode)
    except FileNotFoundError:
        pass
    finally:
        os.unlink(hosts.name)


def inside():
    return INSIDE in os.environ


def start(agent, how):
    return subprocess.Popen(agent.command, cwd=agent.place.work, env={**getattr(agent.place, how), **agent.env}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def until_asked(agent, p):
    until = time.monotonic() + 120
    while not agent.server.waiting.get("mid") and p.poll() is None and time.monotonic() < until:
        time.sleep(0.01)


def idle(pid):
    """All that was sent on its connections has come and was read, and its first thread waits for more; for this process, which only sends, the former alone."""
    under_way, its = set(), set()
    for table in filter(os.path.exists, ("/proc/net/tcp", "/proc/net/tcp6")):
        rows = [line.split() for line in open(table)][1:]
        under_way |= {"socket:[%s]" % row[9] for row in rows if row[3] == "01" and row[4] != "00000000:00000000"}
    for path in glob.glob("/proc/%d/fd/*" % pid):
        try:
            its.add(os.readlink(path))
        except OSError:
            pass
    try:
        return not under_way & its and (pid == os.getpid() or open("/proc/%d/stat" % pid).read().rsplit(")", 1)[1].split()[0] in "SZ")
    except OSError:
        return True  # it is gone


def until_passed_on(*pids):
    """What the model server, which is in this process, has said has come through these, each of which hands it to the next."""
    until = time.monotonic() + 120
    while not all(idle(pid) for pid in (os.getpid(), *pids)) and time.monotonic() < until:
        time.sleep(0.01)


def until_heard(agent, p):
    """The agent has heard what its server says before it stops."""
    until_asked(agent, p)
    until_passed_on(*agent.gates(), p.pid)


def end(agent, how):
    session = agent.place.session() if how == "preload" else None
    agent.server.close()
    return session


def killed(agent, how):
    """((status, files), session, the server's calls)"""
    p = start(agent, how)
    until_heard(agent, p)
    p.kill()
    p.communicate()
    out = (p.returncode, agent.files()), end(agent, how)
    agent.server.settle()
    return (*out, agent.server.calls())


def begun(session, frame, asked):
    """What the session has of that call's answer is its beginning, as the server said it to the same question."""
    request, part = session.body(frame, "request"), session.body(frame, "response")
    return part and any(c["request"] == request and c["answer"].startswith(part) for c in asked)


def to_end(agent, how):
    """(status, what it says, files)"""
    p = start(agent, how)
    out, _ = p.communicate(timeout=LONG)
    agent.place.settle()
    agent.server.close()
    return p.returncode, out, agent.files()


def refused(agent, how):
    agent.server.close()
    return to_end(agent, how)


def gate_killed(agent, how):
    """((status, what it says, files), session); only the agent, where there is no gate."""
    p = start(agent, how)
    until_heard(agent, p)
    for pid in agent.gates():
        os.kill(pid, signal.SIGKILL)
    agent.server.release("mid")
    out, _ = p.communicate(timeout=LONG)
    return (p.returncode, out, agent.files()), end(agent, how)
