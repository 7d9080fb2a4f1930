"""nodekit.py — the node programs and packages of scripts/agents-npm, in $AGENTS_NPM, and the node of this machine."""
import os
import shutil

AGENTS_NPM = os.environ.get("AGENTS_NPM", "")
NODES = ("node", "node18", "node20", "node22", "node24", "node26")  # the first is this machine's


def program(node):
    return shutil.which("node") if node == "node" else os.path.join(AGENTS_NPM, "node_modules", node, "bin", "node")


def missing(node, packages=False):
    """Why it cannot be run; None if it can."""
    if (packages or node != "node") and not AGENTS_NPM:
        return "no packages: AGENTS_NPM=$(scripts/agents-npm) is not set"
    path = program(node)
    return None if path and os.access(path, os.X_OK) else "no %s here" % node


def claude(kind):
    """The command of claude-code: "bun", its native release; "node", the last that is a script."""
    modules = os.path.join(AGENTS_NPM, "node_modules")
    return [program("node20"), os.path.join(modules, "claude-code-node", "cli.js")] if kind == "node" else [os.path.join(modules, "@anthropic-ai", "claude-code-linux-x64", "claude")]


def no_claude(kind):
    """Why it cannot be run; None if it can."""
    why = missing("node20", True)
    return why or next(("no %s here" % path for path in claude(kind) if not os.path.exists(path)), None)
