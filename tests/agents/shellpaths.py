"""What decides in the functions of shell scripts, as bash itself parses them: a reference for vcr-sentinel's figures, since lizard knows no shell.

Bash reads a script as the body of a function that is never called, and prints it (declare -f): one command a line, without comments, in a layout of its own. From
there on it is words: 1, and 1 more for each if, elif, for, select, while, until, each case but *), && and ||. So counts shellmetrics
(github.com/shellspec/shellmetrics), but for && and ||, which it leaves out."""
import collections
import re
import subprocess

PRINT = """for f; do
    unset -f all
    eval "all() {
$(cat -- "$f")
}" 2>/dev/null && declare -f all
    printf '\\0'
done"""
KEYWORD = re.compile(r"(?:^|[|&;(`{]|\b(?:then|do|else)|!)\s*(?:if|elif|for|select|while|until)\b(?!\s*[=)])")


def until(text, at, close):
    """Where what is open ends, behind its bracket, and the commands in it."""
    code = ""
    while at < len(text) and text[at] != close:
        plain, at = piece(text, at, close == '"')
        code += plain
    return code, at + 1


def piece(text, at, quoted=False):
    """The next character, or quoted text, expansion or command, as what of it is command; and where it ends."""
    c, two = text[at], text[at:at + 2]
    if c == "\\":
        return "_", at + 2
    if two == "$(":
        code, end = until(text, at + 2, ")")
        return "$(" + re.sub(r";?\s*\n\s*", " ; ", code) + ")", end
    if two == "${":
        code, end = until(text, at + 2, "}")
        return "_ " + " ".join(re.findall(r"\$\(.*?\)", code, re.S)), end
    if c == '"' and not quoted:
        code, end = until(text, at + 1, '"')
        return "_ " + " ".join(re.findall(r"\$\(.*\)", code, re.S)), end
    if quoted:
        return ("" if c == "\n" else "_" if c in "&|()`" else c), at + 1
    if two == "$'":
        end = re.compile(r"(?:\\.|[^'\\])*'", re.S).match(text, at + 2)
        return "_", end.end() if end else len(text)
    if c == "'":
        end = text.find("'", at + 1)
        return "_", (end if end >= 0 else len(text)) + 1
    if c == "(":
        code, end = until(text, at + 1, ")")
        return "(" + code + ")", end
    return c, at + 1


def plain(text):
    text = re.sub(r"<<-?\s*(['\"]?)(\w+)\1(.*)\n(?:.*\n)*?\s*\2\n", r"\3\n", text)
    out, at = "", 0
    while at < len(text):
        code, at = piece(text, at)
        out += code
    return out


def paths(lines):
    """[name, complexity] of each function, in the order in which they begin."""
    found, stack, expects = [], [], []
    for line in lines:
        word = line.strip()
        named = re.match(r"function (\S+) \(\)$", word)
        if named:
            found.append([named[1], 1])
            stack.append((len(line) - len(line.lstrip()), found[-1]))
            continue
        if stack and re.match(r" {%d}[})]" % stack[-1][0], line) and len(line) - len(line.lstrip()) == stack[-1][0]:
            stack.pop()
            continue
        more = len(KEYWORD.findall(word)) + len(re.findall(r"&&|\|\|", word))
        if expects and expects[-1] and word.endswith(")"):
            more += word != "*)"
            expects[-1] = False
        elif re.match(r";;&?$|;&$", word) and expects:
            expects[-1] = True
        elif re.match(r"esac\b", word) and expects:
            expects.pop()
        if re.search(r"\bcase\b.* in$", word):
            expects.append(True)
        if stack:
            stack[-1][1][1] += more
    return found


def measure(files):
    """{path: [[name, complexity]]} of those that bash can parse."""
    out = subprocess.run(["bash", "--norc", "-O", "extglob", "-c", PRINT, "_", *files], stdout=subprocess.PIPE, text=True, errors="replace").stdout
    return {path: paths(plain(text).split("\n")) for path, text in zip(files, out.split("\0")) if text.strip()}


def compare(files, ours):
    """How many functions of each name and file both have, those that differ, and the files that bash does not parse."""
    theirs, mine = measure(files), collections.defaultdict(lambda: collections.defaultdict(list))
    for o in sorted((o for o in ours if o["type"] == "function"), key=lambda o: o["byte"]):
        mine[o["path"]][o["name"].split(".")[-1]].append(o)
    compared, differ, lost = 0, [], 0
    for path, functions in theirs.items():
        for name, complexity in functions:
            here = mine[path][name]
            if not here:
                lost += 1
                continue
            one = here.pop(0)
            compared += 1
            if one["complexity"] != complexity:
                differ.append([path, one["line"], name, complexity, one["complexity"], bool(one.get("broken"))])
    return compared, differ, lost, len(files) - len(theirs)
