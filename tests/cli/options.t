#!/usr/bin/python3
"""Every verb: its link, its manual page, its options in both --help and the page, and how it answers a wrong call."""
import glob
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "cli"))
from clikit import BUILD, SOURCE, Place, done, json, ok, skip

place = Place()
TOOLS = os.path.join(SOURCE, "tools")
verbs = re.findall(r"^\tX\((\w+), ", open(os.path.join(TOOLS, "verbs.h")).read(), re.M)
make = open(os.path.join(TOOLS, "Makefile.inc")).read()
links = re.findall(r"^VCR_LINKS \+?= (.*)$", make, re.M)
pages = re.findall(r"^dist_man_MANS \+= tools/(.*)$", make, re.M)
ok(sorted(" ".join(links).split()) == sorted("vcr-" + v for v in verbs), "VCR_LINKS names every verb of verbs.h and nothing else", links, verbs)
ok(sorted(pages) == sorted(os.path.basename(p) for p in glob.glob(os.path.join(TOOLS, "*.[1-8]"))), "every manual page in the tree is installed", pages)
status, out, err = place.run("vcr", "help", "--json")
ok(status == 0 and [json.loads(line)["verb"] for line in out.splitlines()] == verbs, "vcr help lists the verbs", out, err)
ok(place.run("vcr")[1] == place.run("vcr", "help")[1] == place.run("vcr-help")[1], "vcr alone is vcr help")


def options_of_help(words):
    return {o for line in re.findall(r"^  (.*)", words, re.M) for o in re.findall(r"(?:^| )(--?[a-z][a-z-]*)", line.split("  ")[0].split("=")[0].strip() if line.startswith("-") else line.strip().split(" ")[0].split("=")[0])}


def options_of_page(text):
    """-x and --name of every .It Fl line."""
    return {"-" + o for line in re.findall(r"^\.It Fl (.*)", text, re.M) for o in re.findall(r"(?:^|Fl )(-?[a-z][a-z-]*)", line)}


def about(text):
    return re.search(r"^\.Nd (.*)", text, re.M).group(1)


for verb in [None] + verbs:
    name = "vcr-" + verb if verb else "vcr"
    page = os.path.join(TOOLS, name + ".1")
    if not ok(os.path.exists(page), "%s has a manual page" % name):
        continue
    text = open(page).read()
    status, out, err = place.run(name, "--help")
    helped, written = options_of_help(out), options_of_page(text)
    ok(status == 0 and not err and out.startswith("usage: %s " % name) and len(helped) > 5, "%s --help goes to standard output, with status 0" % name, out, err)
    ok(helped == written, "%s: --help and the manual page have the same options" % name, "only in --help: %s" % sorted(helped - written), "only in the page: %s" % sorted(written - helped))
    status, out, err = place.run(name, "--version")
    ok(status == 0 and re.fullmatch(r"vcr \d+\.\d+\.\d+\S*\n", out), "%s --version says the version" % name, out)
    status, out, err = place.run(name, "--jsn")
    ok(status == (64 if verb == "sentinel" else 2) and not out and err == "%s: unknown option --jsn; did you mean --json?\nSee: %s --help\n" % (name, name), "%s names a wrong option, says what was meant, and where help is" % name, err)
    with open("/dev/full", "w") as full:
        status, out, err = place.run(name, "--help", stdout=full)
    ok(status == 3 and err.count("\n") == 1 and "standard output" in err, "%s: a full disk behind standard output is status 3" % name, status, err)
known = {re.sub(r"\.(\d)$", r" \1", p) for p in pages}
for p in pages:
    text = open(os.path.join(TOOLS, p)).read()
    missing = [x for x in re.findall(r"\.?Xr (\S+ \d)", text) if x.startswith("vcr") and x not in known]
    ok(not missing and text.startswith(".Dd ") and about(text), "%s refers only to pages that exist" % p, missing)
if shutil.which("groff"):
    for p in pages:
        r = subprocess.run(["groff", "-mdoc", "-Tutf8", "-ww", "-z", os.path.join(TOOLS, p)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        ok(r.returncode == 0 and not r.stdout, "%s is formatted without a warning" % p, r.stdout)
else:
    skip("manual pages are formatted without a warning", "groff is not installed")

status, out, err = place.run("vcr", "sohw")
ok(status == 2 and err.startswith("vcr: 'sohw' is not a verb; did you mean 'show'?\n"), "a misspelt verb is met with the one that was meant", err)
os.symlink(os.path.join(BUILD, "vcr"), os.path.join(place.dir, "vcr-lgo"))
r = subprocess.run(["./vcr-lgo"], cwd=place.dir, env=place.env, stderr=subprocess.PIPE, text=True)
ok(r.returncode == 2 and "did you mean 'log'?" in r.stderr, "so is a link of a wrong name", r.stderr)
ok(place.run("vcr", "help", "sohw")[0] == 2 and place.run("vcr", "help", "log", "show")[0] == 2, "help for what is no verb is a wrong call")
if shutil.which("man"):
    tree = os.path.join(place.dir, "man")
    for p in pages:
        os.makedirs(os.path.join(tree, "man" + p[-1]), exist_ok=True)
        shutil.copy(os.path.join(TOOLS, p), os.path.join(tree, "man" + p[-1]))
    env = {"MANPATH": tree, "MANPAGER": "cat", "MANWIDTH": "100"}
    status, out, err = place.run("vcr", "help", "log", env=env)
    ok(status == 0 and ("VCR-LOG(1)" in out or "vcr-log(1)" in out) and "--follow" in out, "vcr help VERB opens the manual page", out, err)
    status, out, err = place.run("vcr", "help", "format", env=env)
    ok(status == 0 and "vcr.body" in out, "vcr help format opens the page of the file format", out, err)
else:
    skip("vcr help VERB opens the manual page", "man is not installed")
status, out, err = place.run("vcr", "help", "log", env={"PATH": "/nonexistent"})
ok(status == 0 and out.startswith("usage: vcr-log "), "without man, vcr help VERB prints the summary", out, err)
done()
