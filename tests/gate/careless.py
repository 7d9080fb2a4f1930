"""careless.py — a careless agent's code, for the tests of what judges it: a function of 109 lines, complexity 32 and 9 parameters, and a copy of one that stands in
other.py; and the same, mended. A judge that is a script (judge.py) finds "BAD report" in it."""

OTHER = """def normalise(text):
    out = []
    for word in text.split():
        if word and not word.startswith("#"):
            out.append(word.strip().lower())
        else:
            out.append(word)
    return " ".join(out)
"""
BAD = ('"""Reports.\nBAD report\n"""\n\n\ndef report(a, b, c, d, e, f, g, h, i):\n    total = 0\n' + "".join("    if a > %d:\n        total += %d\n\n" % (n, n) for n in range(31)) +
       "".join("    total += %d\n" % n for n in range(13)) + "    return total\n\n\n" + OTHER.replace("normalise", "clean"))
GOOD = '"""Reports."""\nfrom other import normalise\n\n\ndef report(a):\n    return normalise(a)\n'
# what is said of it
WORDS = ("109 lines", "complexity of 32", "9 parameters", "normalise() in other.py:1")
RULES = ["cognitive", "cyclomatic", "duplicate-function", "function-length", "parameters"]
