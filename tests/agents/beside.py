"""What vcr-sentinel measures beside lizard, function by function; run by the python that has lizard.

Reads JSON from standard input: {"language": …, "files": [path, …], "ours": [what vcr-sentinel scan -m --json said, …]}; writes one object with the figures.

Lizard has no parser: it follows tokens, and loses its way in some files. So a function whose complexity differs is shown to lizard alone, cut out of its file and
without the functions in it. If lizard then says what we say, the difference is of the class "bounds": what is counted is the same, where a function begins and
ends is not. If not, what each of CLASSES says is put in the place of what lizard reads otherwise; the first of them, or the fewest together, with which lizard
says what we say are what the difference is of. "broken" is a function in which vcr-sentinel itself found a place that does not parse. What nothing explains
stays a difference."""
import collections
import itertools
import json
import re
import sys

import lizard
from lizard_core.file_info_builder import FileInfoBuilder


def template(text, at):
    """The expressions of the template literal whose first ` stands before at, and where it ends."""
    found = []
    while at < len(text) and text[at] != "`":
        if not text.startswith("${", at):
            at += 1 + (text[at] == "\\")
            continue
        code, depth, at = "", 1, at + 2
        while at < len(text) and depth:
            if text[at] == "`":
                inner, at = template(text, at + 1)
                code += "(" + " , ".join(inner) + ")"
                continue
            depth += (text[at] == "{") - (text[at] == "}")
            code += text[at] if depth else ""
            at += 1
        found.append(code)
    return found, at + 1


def templates(text):
    """`a ${b ? c : d}` as (b ? c : d)"""
    out, at = "", 0
    while (start := text.find("`", at)) >= 0:
        inner, end = template(text, start + 1)
        out += text[at:start] + "(" + " , ".join(inner) + ")"
        at = end
    return out + text[at:]


def macros(text):
    """Without what lizard alone counts in the arguments of macros, which are no code before they are expanded: match, and && and || that join nothing, Token![||].
    An if there makes lizard take a later else for that of let; a while counts as much."""
    out, at = "", 0
    for found in re.finditer(r"\w+!\s*(?:\w+\s*)?[(\[{]", text):
        if found.start() < at:
            continue
        depth, end = 1, found.end()
        while end < len(text) and depth:
            depth += (text[end] in "([{") - (text[end] in ")]}")
            end += 1
        out += text[at:found.end()] + re.sub(r"\b(?:match|else)\b|(?<=[(\[{,;=>])\s*(?:&&|\|\|)|(?:&&|\|\|)(?=\s*[)\]},;&|])", " ", re.sub(r"\bif\b", "while", text[found.end():end]))
        at = end
    return out + text[at:]


def sub(pattern, by):
    compiled = re.compile(pattern)
    return lambda text: compiled.sub(by, text)


# name: (languages, what is put in its place before lizard reads the text). tools/vcr-sentinel.1 lists them, each with an example.
CLASSES = {
    "closure": ("rust", sub(r"(?<=[(=,{};:\[>])(\s*(?:async\s+)?(?:move\s+)?)\|\|(?=\s*[\w{(&*!|<\[\x22\x27-])|(?<=move )\|\||(?<=return )\|\|", r"\1|_|")),
    "bound": ("rust", sub(r"\?(?=\s*Sized)|\bfor(?=\s*<)|(?<=\bimpl\b)([^{};]*?)\bfor\b", r"\1")),
    "macro": ("rust", macros),
    "literal": ("rust", sub(r"\bb?r(#*)\x22(?:.|\n)*?\x22\1|\bb?\x27(?:\\.|[^\\\x27\n])\x27|(?<=\W)\x27(?:\\.|[^\\\x27\n])\x27", "0")),
    "reference": ("rust", sub(r"(?<=[(,:=<|>])(\s*)&&(?=[\w\x27*(])", r"\1& ")),
    "subject": ("rust", sub(r"(\bmatch\b[^{};]*?)(?:unsafe\s*)?\{([^{}]*)\}(?=[^{};]*\{)", r"\1(\2)")),
    "name": ("javascript typescript c_sharp php ruby", sub(r"(?<=[.:>])(\s*)(?:catch|if|for|while|case|when|and|or|rescue|ensure)\b|\b(?:catch|if|for|while|case)(?=\s*:)", r"\1x")),
    "template": ("javascript typescript", templates),
    "type": ("typescript", sub(r"(\bextends\b[^?{};]*?)\?(?!\.)", r"\1")),
    "unless": ("ruby", sub(r"\bunless\b", "if")),
    "ensure": ("ruby", sub(r"\bensure\b", ";")),
    "regex": ("ruby", sub(r"(?<=[=(,~|&\s])/(?:\\.|[^/\\\n])+/[a-z]*|%r\{[^}]*\}[a-z]*", "0")),
    "heredoc": ("ruby php", sub(r"<<[~-]?['\"]?([A-Z]\w+)['\"]?(.*)\n(?:.*\n)*?\s*\1\b|<<<'(\w+)'\n(?:.*\n)*?\s*\3\b", r"'' \2")),
    "foreach": ("c_sharp", sub(r"\bforeach\b", "for")),
    "nullable": ("c_sharp", sub(r"(?<=[\w\]>)])\?(?=\s*(?:[>,);{\[]|\w+\s*(?:[=;,)]|in\b)))", "")),
    "nullable-type": ("php", sub(r"((?:[(,:\]]|\b(?:private|public|protected|readonly))\s*)\?(?=[\w\\]+)", r"\1")),
    "tag": ("php", sub(r"<\?(?:php|=)?|\?>", "")),
    "rvalue": ("cpp", sub(r"(?<=auto)\s*&&|(?<=>)\s*&&(?=\s*(?:\w+\s*)?[,)])|(?<=\w)\s*&&(?=\s*(?:[,)]|\w+\s*[,):=]))", " &")),
    "words": ("cpp php", sub(r"\band\b(?!\s*\()", "&&")),
}


class Counter:
    """All that lizard counts while it reads a text, in whichever function it believes to be."""

    def __init__(self):
        self.total, add = 0, FileInfoBuilder.add_condition

        def count(builder, inc=1):
            self.total += inc
            add(builder, inc)
        FileInfoBuilder.add_condition = count

    def __call__(self, path, language, text):
        self.total = 0
        lizard.analyze_file.analyze_source_code(path, text)
        return 1 + self.total

    def says(self, ours, path, language, text):
        """Does lizard count so many in a text, as it stands or as a member of a class?"""
        around = {"php": ("<?php %s", "<?php class A { %s }"), "javascript": ("%s", "class A { %s }", "x = { %s }"), "typescript": ("%s", "class A { %s }", "x = { %s }")}
        return any(self(path, language, a.replace("%s", text)) == ours for a in around.get(language, ("%s",)))


def last(name):
    return name.split("::")[-1].split(".")[-1].strip()


def alone(data, one, all_of_file):
    """The text of a function; 0 in the place of the functions in it."""
    text = bytearray(data[one["byte"]:one["end_byte"]])
    for other in all_of_file:
        start, end = other["byte"] - one["byte"], other["end_byte"] - one["byte"]
        if start > 0 and end <= len(text) or start == 0 and end < len(text) and end > 0:
            text[start:end] = re.sub(rb"[^\n]", b" ", bytes(text[start:end]))
            text[start:start + 1] = b"0"
    return text.decode("utf-8", "replace")


def explain(count, row, one, language, text):
    """The classes that a difference is of; None: none explains it."""
    path, ours = row[0], one["complexity"]
    if count.says(ours, path, language, text):
        return ("bounds",)
    mine = [n for n, c in CLASSES.items() if language in c[0].split()]
    present = [n for n in mine if CLASSES[n][1](text) != text]

    def without(names):
        t = text
        for n in names:
            t = CLASSES[n][1](t)
        return count.says(ours, path, language, t)
    for k in range(1, len(present) + 1):
        for names in itertools.combinations(present, k):
            if without(names):
                return names
    return None


def parameters(function, language):
    """Those that lizard lists: for PHP without commas between them, elsewhere with an empty one behind a last comma."""
    if language == "php":
        return sum(t.startswith("$") for p in function.full_parameters for t in p.split())
    return sum(bool(p.strip()) for p in function.full_parameters)


def rows_of(path, language):
    try:
        found = lizard.analyze_file(path).function_list
    except (IndexError, RecursionError):  # lizard gives up
        return []
    return [[path, f.start_line, f.name, f.cyclomatic_complexity, parameters(f, language), f.end_line - f.start_line + 1] for f in found]


def pair(row, by_line, by_name):
    """Ours for one of theirs: at the same line; else of the same name, around the line (lizard says where the name stands, we where the definition begins)."""
    here = by_line.get(row[1], [])
    named = [o for o in here if last(o["name"]) == last(row[2])]
    if here:
        return named[0] if len(named) == 1 else here[0] if len(here) == 1 else None
    around = [o for o in by_name.get(last(row[2]), []) if o["line"] < row[1] <= o["end_line"]]
    return max(around, key=lambda o: o["line"], default=None)


def compare(language, files, ours):
    count, all_ours, skipped = Counter(), collections.defaultdict(list), set()
    for o in ours:
        if o["type"] == "function":
            all_ours[o["path"]].append(o)
        elif o["type"] == "skipped":
            skipped.add(o["path"])
    out = {"language": language, "files": len(files), "compared": 0, "equal": 0, "parameters": 0, "length": 0, "classes": collections.Counter(),
           "examples": {}, "unexplained": [], "only_lizard": [], "only_ours": 0, "other_parameters": [], "other_length": []}
    for path in files:
        if path not in skipped:
            compare_file(count, path, language, all_ours[path], out)
    return out


def compare_file(count, path, language, mine, out):
    by_line, by_name, seen, met = collections.defaultdict(list), collections.defaultdict(list), collections.Counter(), set()
    for o in mine:
        by_line[o["line"]].append(o)
        by_name[last(o["name"])].append(o)
    rows = rows_of(path, language)
    for row in rows:
        seen[row[1], last(row[2])] += 1
    with open(path, "rb") as f:
        data = f.read().removeprefix(b"\xef\xbb\xbf")
    for row in rows:
        one = pair(row, by_line, by_name)
        if not one or seen[row[1], last(row[2])] > 1 or one["byte"] in met:
            if not one and row[1] not in by_line:
                out["only_lizard"].append(row)
            continue
        met.add(one["byte"])
        out["compared"] += 1
        out["parameters"] += one["parameters"] == row[4]
        out["length"] += one["end_line"] == row[1] + row[5] - 1
        if one["parameters"] != row[4]:
            out["other_parameters"].append([row, one["parameters"]])
        if one["end_line"] != row[1] + row[5] - 1:
            out["other_length"].append([row, one["end_line"]])
        if one["complexity"] == row[3]:
            out["equal"] += 1
            continue
        why = explain(count, row, one, language, alone(data, one, mine))
        if not why and one.get("broken"):
            why = ("broken",)
        if why:
            out["classes"]["+".join(why)] += 1
            out["examples"].setdefault("+".join(why), [row, one["complexity"]])
        else:
            out["unexplained"].append([row, one["complexity"]])
    out["only_ours"] += len(mine) - len(met)


if __name__ == "__main__":
    if sys.argv[1:] == ["--classes"]:
        json.dump(["bounds", "broken", *CLASSES], sys.stdout)
        sys.exit()
    asked = json.load(sys.stdin)
    json.dump(compare(asked["language"], asked["files"], asked["ours"]), sys.stdout)
