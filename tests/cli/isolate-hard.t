#!/usr/bin/python3
"""vcr txn --isolate where the tree is not as one would wish it: nothing that is not ours goes, nothing that is done is lost, nothing is left behind."""
import os
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "cli"))
from clikit import BUILD, ok, skip, done  # noqa: E402
from project import Standing, differences  # noqa: E402

TXN = os.path.join(BUILD, "vcr-txn")
MOUNTS = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
PLAIN = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []


def run(p, argv, **options):
    r = subprocess.run(argv, cwd=p.work, env=p.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, **options)
    return r.returncode, r.stdout


def repository():
    p = Standing()
    p.sh("git checkout -qb main; echo a > a; git add a; git commit -qm one")
    return p


def begin(p, name):
    return run(p, [TXN, "begin", "--isolate", "-q", "-s", name])[1].rstrip("\n")


def can(argv):
    try:
        return subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0
    except OSError:
        return False


mounts = can(MOUNTS + ["sh", "-c", "mount -t tmpfs none /mnt"])

# ---- What is mounted in it ----
title = "abort does not remove what is mounted in the tree, says so, and goes on when it is unmounted"
if not mounts:
    skip(title, "nothing can be mounted here")
else:
    p = repository()
    p.sh("mkdir ../precious; echo p > ../precious/p")
    tree = begin(p, "m1")
    status, out = run(p, MOUNTS + ["sh", "-c", "mkdir '%s/m' && mount --bind ../precious '%s/m' && exec '%s' abort" % (tree, tree, TXN)])
    there = os.path.exists(p.dir + "/precious/p")
    ok(status != 0 and "something is mounted in it" in out and there and run(p, [TXN, "status"])[0] in (0, 1) and not os.path.exists(tree), title, status, out, there)

# ---- A full disk ----
titles = "a tree that does not fit on the disk leaves nothing behind", "a transaction on a full disk is given up, and its tree makes room"
if not mounts:
    for title in titles:
        skip(title, "nothing can be mounted here")
else:
    p = repository()
    p.sh("echo big >> .gitignore; git add .gitignore; git commit -qm two; head -c 9000000 /dev/urandom > big")
    full = "mkdir -p ../home/.local/state && mount -t tmpfs -o size=8m none ../home/.local/state && { "
    status, out = run(p, MOUNTS + ["sh", "-c", full + "'%s' begin --isolate -s f1; echo status $?; find ../home/.local/state -name f1 -o -name big; git branch --list 'vcr/*'; git worktree list | tail -n +2; }" % TXN])
    ok(out.endswith("status 3\n") and "No space left" in out, titles[0], status, out)
    p.sh("rm big")
    status, out = run(p, MOUNTS + ["sh", "-c", full + "T=$('%s' begin --isolate -q -s f2) && { head -c 9000000 /dev/zero > $T/filled; '%s' abort; echo status $?; find ../home/.local/state -name f2 -o -name filled; "
                                   "git branch --list 'vcr/*'; } }" % (TXN, TXN)])
    ok("\nstatus 0\n" in out and out.endswith("status 0\n"), titles[1], status, out)

# ---- A file that runs as somebody else ----
title = "another user's set-user-ID file is not set-user-ID in the tree, where it would be the caller's"
if os.geteuid() != 0:
    skip(title, "only root can have files of other users here")
else:
    p = repository()
    if p.sh("cp /bin/true his; cp /bin/true own; chown 65534 his; chmod 4755 his own; printf 'his\\nown\\n' > .gitignore").returncode:
        skip(title, "there is no other user here: root of a user namespace")
    else:
        tree = begin(p, "u1")
        modes = [oct(os.stat(os.path.join(tree, name)).st_mode & 0o7777) for name in ("his", "own")]
        ok(modes == ["0o755", "0o4755"], title, modes)

# ---- A caller that ignores the ends of its children ----
p = repository()
run(p, [TXN, "begin", "--isolate", "-q", "-s", "s1"], preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
tree = p.state("trees", "s1")
if os.path.isdir(tree):
    p.sh("echo s > s", cwd=tree)
status, out = run(p, [TXN, "commit"], preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
recorded = run(p, [os.path.join(BUILD, "vcr-record"), "--isolate", "--commit-on-success", "-s", "s2", "--", "sh", "-c", "echo r > r"], preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
ok(status == 0 and os.path.exists(p.work + "/s") and recorded[0] == 0 and os.path.exists(p.work + "/r"), "a caller that ignores SIGCHLD gets the same: begun, merged, recorded", status, out, recorded)

# ---- What is in the tree's .vcr and is no recording ----
p = repository()
p.sh("mkdir -p ../other/.vcr; echo other > ../other/.vcr/other.vcr")
p.sh("mkdir .vcr; mkfifo .vcr/pipe.vcr; mkdir .vcr/dir.vcr; ln -s /etc/passwd .vcr/link.vcr; echo whole > .vcr/whole.vcr", cwd=begin(p, "v1"))
p.sh("ln -s '%s/other/.vcr' .vcr" % p.dir, cwd=begin(p, "v2"))
ended = [run(p, [TXN, "abort", "-s", name])[0] for name in ("v1", "v2")]
came = sorted(n for n in os.listdir(p.vcr_dir) if n in ("pipe.vcr", "dir.vcr", "link.vcr", "whole.vcr", "other.vcr"))
ok(ended == [0, 0] and came == ["whole.vcr"] and os.path.exists(p.dir + "/other/.vcr/other.vcr"), "of what is called a recording in a tree only files of its own come into the workspace's .vcr", ended, came)

# ---- A merge of which git can write only a part ----
title = "a merge that cannot write one of its files is taken back: nothing is changed, and it can be committed later, or given up"
if PLAIN and not can(PLAIN + ["true"]):
    skip(title, "root cannot give up its power over files here")
else:
    p = repository()
    p.sh("mkdir sub; echo s > sub/s; echo x > x; echo gone > gone; echo dirty > dirty; git add .; git commit -qm two; echo more >> dirty; rm x; echo staged > staged; git add staged; echo u > u")
    tree = begin(p, "w1")
    p.sh("echo new > aaa; echo more >> a; rm gone; echo n > sub/n; mkdir d; echo d > d/d; ln -s a link; for i in $(seq 30); do echo $i > \"many $i\"; done", cwd=tree)
    p.sh("mkdir ../bin; printf '#!/bin/sh\necho \"$*\" >> %s/gits; exec %s \"$@\"\n' > ../bin/git; chmod 755 ../bin/git" % (p.dir, shutil.which("git")))
    start, said = p.look(), p.sh("git status --porcelain; git rev-parse HEAD").stdout
    os.chmod(p.work + "/sub", 0o555)
    status, out = run(p, ["env", "PATH=%s/bin:%s" % (p.dir, os.environ["PATH"])] + PLAIN + [TXN, "commit"])
    os.chmod(p.work + "/sub", 0o755)
    gits = open(p.dir + "/gits").read().splitlines()
    ok(status == 3 and "sub/n" in out and p.look() == start and p.sh("git status --porcelain; git rev-parse HEAD").stdout == said and not [n for n in os.listdir(p.work + "/.git") if "vcr" in n or "lock" in n],
       title, status, out, *differences(start, p.look()))
    ok([g for g in gits if "hash-object" in g] and len([g for g in gits if "hash-object" in g]) < 4, "to take it back one git looks at all files, not one at each", gits)
    status, out = run(p, [TXN, "commit"])
    ok(status == 0 and os.path.exists(p.work + "/sub/n") and not os.path.exists(p.work + "/gone") and p.sh("git status --porcelain").stdout == " M dirty\nA  staged\n D x\n?? u\n", "and then it is whole", status, out)

# ---- A workspace in which only a part is checked out ----
p = repository()
p.sh("mkdir in out; echo i > in/i; echo o > out/o; git add .; git commit -qm two; git sparse-checkout set in")
tree = begin(p, "c1")
p.sh("echo more >> in/i; mkdir new; echo n > new/n", cwd=tree)
status, out = run(p, [TXN, "commit"])
ok(status == 0 and p.sh("git ls-tree -r --name-only HEAD; git show HEAD:new/n; git status --porcelain").stdout == "a\nin/i\nnew/n\nout/o\nn\n" and not os.path.exists(p.work + "/out"),
   "with a sparse checkout too what is done anywhere in the tree is merged, and nothing that is not checked out is gone", status, out)

# ---- A repository that is gone ----
p = repository()
tree = begin(p, "r1")
p.sh("rm -rf .git")
r = subprocess.run([TXN, "abort"], cwd=tree, env=p.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
ok(r.returncode == 0 and not os.path.exists(tree) and not os.path.exists(p.state("txn", "r1")), "a transaction whose repository has been removed can be given up", r.returncode, r.stdout)

# ---- git's words about signatures ----
p = repository()
with open(p.dir + "/gpg", "w") as f:
    f.write("#!/bin/sh\ncat > /dev/null\ncase \"$*\" in *--verify*) echo 'gpg: Good signature' >&2; echo '[GNUPG:] GOODSIG 1 u';; *) echo '[GNUPG:] SIG_CREATED x' >&2; "
            "printf -- '-----BEGIN PGP SIGNATURE-----\\n\\nx\\n-----END PGP SIGNATURE-----\\n';; esac\n")
p.sh("chmod +x ../gpg; git config gpg.program '%s/gpg'; git config log.showSignature true; seq 9 > c; git add c; git commit -qm c; sed -i s/9/his/ c" % p.dir)
tree = begin(p, "g1")
p.sh("sed -i s/1/agent/ c; git commit -q -S -a -m signed", cwd=tree)
p.sh("git stash -q")
status, out = run(p, [TXN, "commit"])
history = p.sh("git log -p --no-show-signature main -- c").stdout
ok(status == 0 and "+agent" in history and "his" not in history, "with log.showSignature too what the user had not committed comes into no commit", status, out, history)

# ---- Directories that git cannot open ----
title = "a directory that git cannot open is not lost: commit refuses by its name, and merges what is in it when it can"
if PLAIN and not can(PLAIN + ["true"]):
    skip(title, "root cannot give up its power over files here")
else:
    p = repository()
    tree = begin(p, "d1")
    p.sh("mkdir closed; echo work > closed/f; echo seen > seen; chmod 0 closed", cwd=tree)
    status, out = run(p, PLAIN + [TXN, "commit"])
    kept = os.path.isdir(tree)
    if kept:
        p.sh("chmod 700 closed", cwd=tree)
    ok(status != 0 and "'closed/'" in out and kept and run(p, [TXN, "commit"])[0] == 0 and os.path.exists(p.work + "/closed/f") and os.path.exists(p.work + "/seen"), title, status, out, kept)
done()
