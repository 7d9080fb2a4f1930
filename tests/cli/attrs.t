#!/usr/bin/python3
"""Extended attributes and access control lists are part of savepoints: what an agent sets, changes, takes away or loses is put back by a rollback, and by its undo."""
import os
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "cli"))
from clikit import done, ok, skip  # noqa: E402
from project import Project, differences  # noqa: E402

TITLE = "extended attributes"


def acl(mask):
    """u::rw-, u:65534:r--, g::r--, m::MASK, o::r--: as the kernel has it."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *e) for e in ((1, 6, 0xffffffff), (2, 4, 65534), (4, 4, 0xffffffff), (16, mask, 0xffffffff), (32, 4, 0xffffffff)))


def attrs(project):
    """Mode and attributes of each path."""
    found = {}
    for at, dirs, files in os.walk(project.work):
        dirs[:] = [d for d in dirs if d not in (".vcr", ".git")]
        for name in dirs + files:
            path = os.path.join(at, name)
            found[os.path.relpath(path, project.work)] = (oct(os.lstat(path).st_mode),
                {a: os.getxattr(path, a, follow_symlinks=False) for a in os.listxattr(path, follow_symlinks=False) if not a.startswith(("trusted.", "security.selinux"))})
    return found


def same(a, b, title):
    return ok(a == b, title, *differences(a, b))


def try_set(path, name, value):
    try:
        os.setxattr(path, name, value)
        return True
    except OSError:
        return False


AGENT = r"""
import os
r, s = os.removexattr, os.setxattr
r("tracked", "user.tag")                                                # taken away
s("changed", "user.tag", b"two")                                        # another value
open("saved~", "w").write("new"); os.rename("saved~", "saved")          # lost, as an editor's way of saving does
s("plain", "user.new", os.environb[b"AZURE_API_KEY"])                                            # set
s("sub", "user.dir", b"other")
os.unlink("gone"); os.rename("moved", "moved2")
open("hidden", "w").write("K=2"); r("hidden", "user.tag")
for name in ("acl", "tree/f"):
    try: r(name, "system.posix_acl_access")
    except OSError: pass
os.mkdir("made"); s("made", "user.x", b"1"); open("made/f", "w").write("f")
try: r("cap", "security.capability")
except OSError: pass
"""

KEY = "Zm9v/YmFyYmF6cXV4cXV1eA+Zg=="  # neither the plain form of it nor the one of URLs is what its escaped form is
p = Project()
open(p.work + "/probe", "w").close()
if not try_set(p.work + "/probe", "user.a", b""):
    skip(TITLE, "the file system of the temporary directory has none")
    done()
    sys.exit(0)
os.unlink(p.work + "/probe")
p.sh("""printf 'a\\n' > tracked; printf b > changed; printf c > saved; printf d > plain; mkdir sub tree; printf e > sub/e; printf f > gone; printf g > moved; printf h > acl
printf 'K=1' > .env; ln -s .env dangling; printf f > tree/f; printf c > cap; printf h > hidden; printf n > vcr-attributes-1.plain; git add tracked changed acl tree; git commit -qm x""")
for name in ("tracked", "changed", "saved", "gone", "moved", ".env", "hidden"):
    os.setxattr(os.path.join(p.work, name), "user.tag", b"one \xff\n of " + name.encode())
os.setxattr(p.work + "/sub", "user.dir", b"")
os.setxattr(p.work + "/.env", "user.key", b"canary-in-an-attribute-of-a-secret-file")
has_acl = try_set(p.work + "/acl", "system.posix_acl_access", acl(6)) and try_set(p.work + "/tree/f", "system.posix_acl_access", acl(4))
has_cap = try_set(p.work + "/cap", "security.capability", struct.pack("<IIIII", 0x02000000, 1 << 10, 0, 0, 0))
p.sh("git status >/dev/null")  # what git takes for clean now has attributes
first = attrs(p)
r = p.vcr("record", "-q", "--", sys.executable, "-c", AGENT, env={"AZURE_API_KEY": KEY})
after = attrs(p)
ok(r[0] == 0 and after != first, "a recorded program changes attributes in every way", r)
status, out, err = p.back("--dry-run", "--to", "start")
ok("xattrs   tracked" in out and "restore  saved" in out and "to change in extended attributes" in out, "the plan of a rollback says which files change in nothing but their attributes", out, err)
status, out, err = p.back("-q", "--to", "start")
ok(status == 0, "a rollback succeeds", status, out, err)
same(first, attrs(p), "what was set, changed, taken away or lost by an editor's way of saving is as it was, of files that git knows too, of directories, of secrets%s%s" %
     (", with access control lists" if has_acl else "", ", with capabilities" if has_cap else ""))
status, out, err = p.back("-q", "--undo")
ok(status == 0, "--undo succeeds", status, out, err)
same(after, attrs(p), "--undo brings the agent's attributes back")
status, out, err = p.back("-q", "--redo")
same(first, attrs(p), "--redo takes them away again")
os.setxattr(p.work + "/tracked", "user.mine", b"1")
p.sh("printf 'K=3' >> plain")
status, out, err = p.back("--to", "end")
ok(status == 1 and "plain" in out + err and "tracked" not in out + err.replace("tracked by", ""), "an attribute that somebody else has set is no foreign edit, another content is", status, out, err)
shadow = p.state("shadow.git")
listing = subprocess.run(["git", "--git-dir", shadow, "log", "--all", "--name-only", "--format=%s"], stdout=subprocess.PIPE).stdout
ok(b"vcr-attributes-1.tracked" in listing, "git shows attributes as a file beside the file", listing[:1500])
blobs = subprocess.run(["git", "--git-dir", shadow, "cat-file", "--batch-all-objects", "--batch"], stdout=subprocess.PIPE).stdout
plain = [s for s in (b"canary-in-an-attribute", KEY[:24].encode(), b"user.tag=one") if s in blobs]
ok(not plain and blobs.count(b"vcr-sealed-1") > 5, "attributes are sealed, of a file of secrets and of any other: a secret in them has another form than it has in a file", plain)
ok(subprocess.run(["git", "--git-dir", shadow, "fsck", "--connectivity-only"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT).returncode == 0, "git fsck finds every object")

p = Project()
p.sh("for i in $(seq 300); do echo $i > f$i; done; git add .; git commit -qm x")
for i in (7, 250):
    os.setxattr("%s/f%d" % (p.work, i), "user.n", b"%d" % i)
p.sh("git status >/dev/null")
first = attrs(p)
p.vcr("record", "-q", "--", "bash", "-c", "for i in 7 8 250; do echo x > f; mv f f$i; done")
status, out, err = p.back("-q", "--to", "start")
same(first, attrs(p), "of hundreds of files that git knows to be clean, the few that have attributes get them back")
p = Project(git=False)
p.sh("echo a > a; echo b > b")
p.vcr("record", "-q", "--", "bash", "-c", "echo x > a; %s -c 'import os; os.setxattr(\"b\", \"user.n\", b\"1\")'" % sys.executable)
p.sh("export GIT_DIR=%s; ref=$(git for-each-ref --format='%%(refname)' 'refs/vcr/*/0'); git update-ref $ref $(git cat-file commit $ref | grep -v ^vcr-attributes: | git hash-object -t commit -w --stdin)" %
     p.state("shadow.git"))
status, out, err = p.back("--to", "start")
ok(status == 0 and "xattrs" not in out and open(p.work + "/a").read() == "a\n" and os.listxattr(p.work + "/b") == ["user.n"],
   "a session recorded before attributes were kept gives files their content back and takes no attributes away", status, out, err)
done()
