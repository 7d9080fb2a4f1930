"""troublekit.py — an agent in trouble: killed in the midst of an answer, its network refused, the gate killed; without us and with us.

An agent has place, server, env, command, files() and gates() (claudekit.py, geminikit.py); its server stops in the midst of the first answer for WAIT. Where it is to
speak to its model by the real name, untapped and without a gate, it needs a namespace in which that name is this machine's: enter()."""
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


def end(agent, how):
    session = agent.place.session() if how == "preload" else None
    agent.server.close()
    return session


def killed(agent, how):
    """((status, files), session)"""
    p = start(agent, how)
    until_asked(agent, p)
    p.kill()
    p.communicate()
    return (p.returncode, agent.files()), end(agent, how)


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
    until_asked(agent, p)
    for pid in agent.gates():
        os.kill(pid, signal.SIGKILL)
    agent.server.release("mid")
    out, _ = p.communicate(timeout=LONG)
    return (p.returncode, out, agent.files()), end(agent, how)
