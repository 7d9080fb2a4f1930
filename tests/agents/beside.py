"""What vcr-sentinel measures beside lizard, function by function; run by the python that has lizard.

Reads JSON from standard input: {"language": …, "files": [path, …], "ours": [what vcr-sentinel scan -m --json said, …]}; writes one object with the figures.

Lizard has no parser: it follows tokens, and loses its way in some files. So a function whose complexity differs is shown to lizard alone, cut out of its file and
without the functions in it. If lizard then says what we say, the difference is of the class "bounds": what is counted is the same, where a function begins and
ends is not. If not, what each of CLASSES says is put in the place of what lizard reads otherwise; the first of them, or the fewest together, with which lizard
says what we say are what the difference is of. "broken" is a function in which vcr-sentinel itself found a place that does not parse. What nothing explains
stays a difference.

So it is with the number of parameters, with the last line, and with functions that only one of the two has: lizard is asked again, shown the function alone, and
what is left is of one of FIGURES, or stays a difference."""
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


# ---- Parameters, last lines, and which functions there are ----

WORDS = set("if else for foreach while do switch case catch lock using return synchronized function new throw await fixed unchecked checked get set in and or not unless".split())
AROUND = {"php": ("<?php %s", "<?php class A { %s }"), "rust": ("%s", "impl A { %s }"),
          **{n: ("%s", "class A { %s }", "x = { %s }", "x = %s", "f(%s)") for n in ("javascript", "typescript")}, **{n: ("%s", "class A { %s }") for n in ("java", "c_sharp")}}


def seen_alone(path, language, text):
    """(parameters, last line) of each function that lizard finds in a text."""
    found = set()
    for around in AROUND.get(language, ("%s",)):
        try:
            functions = lizard.analyze_file.analyze_source_code(path, around.replace("%s", text)).function_list
        except (IndexError, RecursionError):
            continue
        found |= {(parameters(f, language), f.end_line) for f in functions}
    return found


def plain(text):
    """Without comments, strings and characters."""
    return re.sub(r"//[^\n]*|/\*(?:.|\n)*?\*/|\x22(?:\\.|[^\x22\\\n])*\x22|\x27(?:\\.|[^\x27\\\n])\x27|`(?:\\.|[^`\\])*`", " ", text)


def listed(text, brackets):
    """How many parameters a list in parentheses has, if a comma within these brackets is none between them."""
    text = re.sub(r"=>|->|\bpub\s*\([^)]*\)", " ", plain(text))
    depth, count, some = 0, 0, False
    for c in text[text.find("(") + 1:]:
        if c == ")" and depth <= 0:
            break
        depth += (c in brackets) * ((c in "([{<") - (c in ")]}>"))
        if c == "," and depth <= 0:
            count, some = count + some, False
        else:
            some = some or not c.isspace()
    return count + some


def whole(lines, first, last_line):
    """Do these lines end what they begin?"""
    text = plain("\n".join(lines[first - 1:last_line]))
    return all(text.count(a) == text.count(b) for a, b in ("()", "[]", "{}"))


def ends_as_it_begins(lines, first, last_line):
    """Ruby: the last line is an end that stands where the def does."""
    begin, end = lines[first - 1], lines[last_line - 1]
    return end.split()[:1] == ["end"] and len(begin) - len(begin.lstrip()) == len(end) - len(end.lstrip())


# class: (languages, of what, does it explain a difference?): r: lizard's row, o: ours, t: the function's text alone, l: the file's lines. tools/vcr-sentinel.1 has each.
FIGURES = {
    "anonymous": ("javascript typescript", "parameters", lambda r, o, t, l: not r[4] and (r[2] == "(anonymous)" or re.match(r"[^{]*=>|function\s*\(", t))),
    "object": ("javascript typescript", "parameters", lambda r, o, t, l: r[4] + len(re.findall(r"[(,]\s*object\b(?=\s*[,)=:?])", plain(t).partition("{")[0])) == o["parameters"] > r[4]),
    "comma": ("go rust typescript java c_sharp cpp", "parameters", lambda r, o, t, l: listed(t, "()[]{}<>") == o["parameters"] < r[4]),
    "operator": ("ruby", "parameters", lambda r, o, t, l: re.match(r"def\s+[\w.]*(?:\w=|\[\]=?|[<>=!+*/%-]+)\s*\(", t) and not r[4]),
    "star": ("python", "parameters", lambda r, o, t, l: r[4] - o["parameters"] in (1, 2) and re.search(r"[(,]\s*[*/]\s*(?:#.*\s*)*[,)]", t)),
    "bare": ("ruby", "parameters", lambda r, o, t, l: re.match(r"def\s+[\w.]+[?!]?[ \t]*[^(\s\w?!.=]?[ \t]*(?:\n|;|\w)", t)),
    "bracket": ("javascript typescript go rust c cpp java c_sharp php", "line", lambda r, o, t, l: whole(l, o["line"], o["end_line"]) and not whole(l, r[1], r[1] + r[5] - 1)),
    "end": ("ruby", "line", lambda r, o, t, l: ends_as_it_begins(l, o["line"], o["end_line"])),
    "declaration": ("go java c_sharp php typescript rust javascript cpp", "ours line", lambda r, o, t, l: "{" not in re.sub(r"\b(?:interface|struct)\s*\{\}", "", plain(t))),
    "overload": ("python", "ours", lambda r, o, t, l: re.search(r":\s*(?:#.*\s*)*\.\.\.\s*$", t)),
    "accessor": ("javascript typescript", "ours", lambda r, o, t, l: re.match(r"(?:\w+\s+)*(?:get|set)\b", t)),
    "constraint": ("c_sharp", "ours", lambda r, o, t, l: re.match(r"[^{]*\bwhere\b", t)),
    "word": ("javascript typescript c cpp java c_sharp php ruby", "lizard", lambda r, o, t, l: last(r[2]) in WORDS or not re.match(r"[\w~(]", last(r[2]))),
    "annotation": ("java", "lizard", lambda r, o, t, l: re.search(r"@\s*" + re.escape(last(r[2])), l[r[1] - 1])),
    "call": ("javascript typescript", "lizard", lambda r, o, t, l: is_call(l[r[1] - 1], last(r[2]))),
    "signature": ("typescript rust go java", "lizard", lambda r, o, t, l: is_signature("\n".join(l[r[1] - 1:r[1] + 30]))),
    "in-macro": ("rust", "lizard", lambda r, o, t, l: within_macro("\n".join(l[:r[1] - 1]))),
    "text": ("rust ruby php", "lizard", lambda r, o, t, l: not re.search(r"^[^#/\x22']*\b(?:fn|def|function)\s+(?:self\.)?" + re.escape(last(r[2])), l[r[1] - 1])),
}


def is_call(line, name):
    """A line in which no function begins: a call between ? and :, a part of a type."""
    return re.match(r"\s*[)}]", line) or not re.search(r"\bfunction\b|=>", line) and not re.search(re.escape(name) + r"\s*(?:<.*>)?\(.*\{\s*$|^\s*" + re.escape(name) + r"\s*\([^)]*$", line)


def is_signature(text):
    """What looks like a function has no body."""
    text = plain(text)
    depth, at = 0, text.find("(")
    for i in range(at, len(text)):
        depth += (text[i] == "(") - (text[i] == ")")
        if not depth:
            return not re.match(r"[^;{}]*(?<![=:|&(,<])\s*\{", text[i + 1:].split("=>")[0])
    return True


def within_macro(text):
    """Does a text end within the brackets of a macro?"""
    text, end = plain(text), 0
    for found in re.finditer(r"\w+!\s*(?:\w+\s*)?[(\[{]", text):
        if found.start() < end:
            continue
        depth, end = 1, found.end()
        while end < len(text) and depth:
            depth += (text[end] in "([{") - (text[end] in ")]}")
            end += 1
        if depth:
            return True
    return False


def figure(out, what, row, one, language, path, text, lines):
    """Take a difference: by its class, or as one that nothing explains."""
    alone_too = seen_alone(path, language, text) if one else ()
    if what == "parameters" and any(p == one["parameters"] for p, _ in alone_too) or what == "line" and any(e == one["end_line"] - one["line"] + 1 for _, e in alone_too):
        why = "bounds"
    elif what == "ours" and alone_too:
        why = "bounds"
    else:
        why = next((n for n, (languages, of, explains) in FIGURES.items() if what in of.split() and language in languages.split() and explains(row, one, text, lines)), None)
    if not why and (one and one.get("broken") or not one and path in out["broken"]):
        why = "broken"
    out["figures"][what][why or ""] = out["figures"][what].get(why or "", 0) + 1
    if not why:
        out["left"].append([what, row, one and [one["line"], one["name"], one["parameters"], one["end_line"]], path, (text or "\n".join(lines[row[1] - 1:row[1] + 1]))[:90]])


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
    count, all_ours, skipped, broken = Counter(), collections.defaultdict(list), set(), set()
    for o in ours:
        if o["type"] == "function":
            all_ours[o["path"]].append(o)
        elif o["type"] == "skipped":
            skipped.add(o["path"])
        else:
            broken.add(o["path"])
    out = {"language": language, "files": len(files), "compared": 0, "equal": 0, "parameters": 0, "length": 0, "classes": collections.Counter(),
           "examples": {}, "unexplained": [], "functions": 0, "broken": broken, "figures": {"parameters": {}, "line": {}, "ours": {}, "lizard": {}}, "left": []}
    for path in files:
        if path not in skipped:
            compare_file(count, path, language, all_ours[path], out)
    del out["broken"]
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
    lines = data.decode("utf-8", "replace").split("\n")
    for row in rows:
        one = pair(row, by_line, by_name)
        if not one or seen[row[1], last(row[2])] > 1 or one["byte"] in met:
            if not one and row[1] not in by_line:
                figure(out, "lizard", row, None, language, path, "", lines)
            continue
        met.add(one["byte"])
        compare_one(count, row, one, language, alone(data, one, mine), lines, out)
    doubtful = {row[1] for row in rows if seen[row[1], last(row[2])] > 1}
    for one in mine:
        if one["byte"] not in met and one["line"] not in doubtful:
            figure(out, "ours", None, one, language, path, alone(data, one, mine), lines)
    out["functions"] += len(mine)


def compare_one(count, row, one, language, text, lines, out):
    path = row[0]
    out["compared"] += 1
    out["parameters"] += one["parameters"] == row[4]
    out["length"] += one["end_line"] == row[1] + row[5] - 1
    if one["parameters"] != row[4]:
        figure(out, "parameters", row, one, language, path, text, lines)
    if one["end_line"] != row[1] + row[5] - 1:
        figure(out, "line", row, one, language, path, text, lines)
    if one["complexity"] == row[3]:
        out["equal"] += 1
        return
    why = explain(count, row, one, language, text)
    if not why and one.get("broken"):
        why = ("broken",)
    if why:
        out["classes"]["+".join(why)] += 1
        out["examples"].setdefault("+".join(why), [row, one["complexity"]])
    else:
        out["unexplained"].append([row, one["complexity"]])


if __name__ == "__main__":
    if sys.argv[1:] == ["--classes"]:
        json.dump([["bounds", "broken", *CLASSES], list(FIGURES)], sys.stdout)
        sys.exit()
    asked = json.load(sys.stdin)
    json.dump(compare(asked["language"], asked["files"], asked["ours"]), sys.stdout)
