#!/usr/bin/python3
"""make install, then the library by its bare name: in a mount namespace where the installed tree is the system's, so that nothing of this
machine changes."""
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

top = os.path.abspath(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")))
sys.path.insert(0, os.path.join(top, "tests", "shim"))
import serverkit
import tapkit
from tapkit import BUILD, ok, skip

CLIENT = """
import http.client
c = http.client.HTTPConnection('127.0.0.1', %d)
c.request('POST', '/v1/chat/completions', '{"model":"gpt-4o","messages":[{"role":"user","content":"installed?"}]}', {'Content-Type': 'application/json'})
print(c.getresponse().status)
"""
# What a machine's own `make install && ldconfig` leaves: the tree at its prefix, the linker's cache with it.
INSTALLED = """
set -e
mount --bind "$tree$prefix" "$prefix"
for d in /var/cache/ldconfig; do ! [ -d $d ] || mount -t tmpfs none $d; done
ldconfig -C "$tree/cache"
mount --bind "$tree/cache" /etc/ld.so.cache
"""


def make(*words):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS", "LD_", "VCR_"))}
    return subprocess.run(["make", "-s", "-C", BUILD, *words], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300)


def variable(name):
    return re.search(r"^%s = (.*)$" % name, open(os.path.join(BUILD, "Makefile")).read(), re.M).group(1)


def finished_session(vcr_dir):
    """The text of the one session in vcr_dir when its last line is there, or what there is after 30 seconds."""
    until = time.monotonic() + 30
    while True:
        files = glob.glob(os.path.join(vcr_dir, "*.vcr"))
        text = open(files[0]).read() if len(files) == 1 else ""
        if '"vcr.end"' in text or time.monotonic() > until:
            return text
        time.sleep(0.05)


tree = tempfile.mkdtemp(prefix="vcr-install-test.")
run_dir = tempfile.mkdtemp(prefix="vcr-install-test.", dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
r = make("install", "DESTDIR=" + tree)
prefix = variable("prefix")
bindir, libdir, libexecdir = (tree + prefix + d for d in ("/bin", "/lib", "/libexec/vcr"))
verbs = re.findall(r"^\tX\((\w+),", open(os.path.join(top, "tools", "verbs.h")).read(), re.M)
absent = [v for v in verbs if os.path.realpath(os.path.join(bindir, "vcr-" + v)) != os.path.realpath(os.path.join(bindir, "vcr"))]
wanted = [bindir + "/vcr", libdir + "/libvcrshim.so", libdir + "/libvcrdeterm.so", libexecdir + "/vcr-collector", libexecdir + "/vcr-gate", libexecdir + "/vcr-standin", libexecdir + "/vcr-verbs", tree + prefix + "/share/vcr/prices.json",
          tree + prefix + "/include/vcr.h", libdir + "/pkgconfig/vcr.pc"]
ok(r.returncode == 0 and all(map(os.path.isfile, wanted)) and len(verbs) > 3 and not absent,
   "make install puts the tools, a link for each verb, the library, its header, the collector and the prices where they look for each other",
   r.stdout, [w for w in wanted if not os.path.isfile(w)], absent)

r = subprocess.run(["pkg-config", "--cflags", "--libs", "vcr"], env=dict(os.environ, PKG_CONFIG_PATH=libdir + "/pkgconfig", PKG_CONFIG_SYSROOT_DIR=tree), stdout=subprocess.PIPE, text=True) \
    if shutil.which("pkg-config") else None
title = "a program is built with what pkg-config says of vcr"
if r:
    built = subprocess.run(["cc", os.path.join(top, "examples", "annotate.c"), *r.stdout.split(), "-o", os.path.join(tree, "annotate")], stderr=subprocess.PIPE, text=True)
    ok(r.returncode == 0 and built.returncode == 0 and subprocess.run([os.path.join(tree, "annotate")]).returncode == 0, title, r, built)
else:
    skip(title, "there is no pkg-config")

server = serverkit.Model(lambda request, path: serverkit.completion("yes"))
unshare = ["unshare", "-m"] if os.getuid() == 0 else ["unshare", "-r", "-m"]
env = {"PATH": prefix + "/bin:/usr/sbin:/usr/bin:/sbin:/bin", "tree": tree, "prefix": prefix, "HOME": tree, "XDG_RUNTIME_DIR": run_dir}
why = None
if not os.path.isdir(prefix):
    why = "there is no %s to install over" % prefix
elif subprocess.run([*unshare, "sh", "-c", INSTALLED], env=env, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
    why = "no mount namespace may be made here"
elif subprocess.run([*unshare, "sh", "-c", INSTALLED + "ldconfig -p -C /etc/ld.so.cache | grep -q libvcrshim.so"], env=env, stderr=subprocess.DEVNULL).returncode:
    why = "the dynamic linker does not search %s/lib" % prefix
for name, command in (("preload", 'LD_PRELOAD=libvcrshim.so exec /usr/bin/python3 -c "$client"'), ("record", 'exec vcr-record -- /usr/bin/python3 -c "$client"')):
    title = {"preload": "after make install and ldconfig, LD_PRELOAD=libvcrshim.so by its bare name records a program",
             "record": "after make install, vcr-record finds its library and its collector"}[name]
    if why:
        skip(title, why)
        continue
    work = os.path.join(tree, name)
    os.mkdir(work)
    r = subprocess.run([*unshare, "sh", "-c", INSTALLED + command], cwd=work, env=dict(env, client=CLIENT % server.port), stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
    text = finished_session(os.path.join(work, ".vcr"))
    ok(r.returncode == 0 and r.stdout == "200\n" and '"node_name":"llm:gpt-4o"' in text and "installed?" in text, title, r, text[:2000])
server.close()
for directory in (tree, run_dir):
    shutil.rmtree(directory, True)
tapkit.done()
