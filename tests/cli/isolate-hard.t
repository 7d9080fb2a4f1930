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
from steps import run_to  # noqa: E402

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

# ---- What git does not reach ----
p = repository()
subprocess.run([sys.executable, "-c", "import os\nfor _ in range(17):\n    os.mkdir('n' * 250)\n    os.chdir('n' * 250)\nopen('f', 'w').close()"], cwd=p.work, check=True)
status, out = run(p, [TXN, "begin", "--isolate", "-s", "l1"])
ok(status != 0 and "git does not reach 'nnn" in out and "without --isolate" in out and not os.path.exists(p.state("trees", "l1")) and p.sh("git branch --list 'vcr/*'").stdout == "",
   "a workspace with paths that git does not reach is refused by their name, and nothing is left", status, out)

# ---- Repositories inside the workspace ----
NESTED = """git init -q own; seq 9 > own/o; mkdir own/d; echo d > own/d/d; echo g > own/gone; printf 'ign\n' > own/.gitignore; git -C own add .; git -C own commit -qm o; echo his >> own/d/d; echo u > own/u; echo i > own/ign
git init -q ../sub.git; seq 9 > ../sub.git/s; git -C ../sub.git add .; git -C ../sub.git commit -qm s; git -c protocol.file.allow=always submodule -q add "$PWD/../sub.git" sub; git commit -qm sub
echo vendor/ >> .gitignore; git add .gitignore; git commit -qm ign; git init -q vendor/v; echo v > vendor/v/v; git -C vendor/v add .; git -C vendor/v commit -qm v"""


def inside(p):
    """The .git of every repository but the outer one, byte for byte."""
    return [p.look(os.path.join(p.work, d), git=True) for d in ("own/.git", "vendor/v/.git", ".git/modules")]


p = repository()
p.sh(NESTED)
start, gits = p.look(), inside(p)
tree = begin(p, "n1")
there = {k: v for k, v in p.look(tree).items() if os.path.basename(k) != ".git"}
start_files = {k: v for k, v in start.items() if os.path.basename(k) != ".git"}
ok(there == start_files, "repositories inside the workspace, submodules and ignored ones too, are in the tree as they are", *differences(start_files, there))
said = [subprocess.run(["git", "status", "--porcelain"], cwd=os.path.join(at, d), env=p.env, stdout=subprocess.PIPE, text=True).stdout for d in ("own", "sub", "vendor/v") for at in (p.work, tree)]
ok(said[0::2] == said[1::2] and said[0] == " M d/d\n?? u\n", "git says the same of them there", said)
p.sh("echo n > own/new; echo V > vendor/v/v", cwd=tree)
status, out = run(p, [TXN, "status", "--json"])
ok('"changed":2' in out, "status counts what is changed in them", status, out)
status, out = run(p, [TXN, "abort"])
ok(status == 0 and p.look() == start and inside(p) == gits and not os.path.exists(tree), "abort leaves no trace of it in them", status, out, *differences(start, p.look()))

p.sh("chmod 640 own/o")
start = p.look()
tree = begin(p, "n2")
p.sh("sed -i s/1/agent/ own/o; echo n > own/new; mkdir own/m; echo m > own/m/m; rm own/gone; ln -s o own/link; rm own/u; mkdir own/u; echo uu > own/u/u; echo I > own/ign; sed -i s/5/five/ sub/s; chmod +x sub/s; echo V > vendor/v/v; echo b > b", cwd=tree)
p.sh("sed -i s/9/mine/ own/o; echo also > own/also")
status, out = run(p, [TXN, "commit"])
def is_(text, mode="0o100644"): return (mode, text)
want = dict(start, **{"own/o": is_(b"agent\n2\n3\n4\n5\n6\n7\n8\nmine\n", "0o100640"), "own/new": is_(b"n\n"), "own/m": ("0o40755", None), "own/m/m": is_(b"m\n"), "own/link": ("0o120777", "o"), "own/also": is_(b"also\n"),
                      "own/u": ("0o40755", None), "own/u/u": is_(b"uu\n"), "sub/s": is_(b"1\n2\n3\n4\nfive\n6\n7\n8\n9\n", "0o100755"), "vendor/v/v": is_(b"V\n"), "b": is_(b"b\n")})
del want["own/gone"]
ok(status == 0 and p.look() == want and "9 files in repositories inside" in out, "commit brings what was changed in them as files, merged with what the user did there meanwhile", status, out, *differences(want, p.look()))
ok(inside(p) == gits and p.sh("git show --stat --format= HEAD").stdout.split() [0] == "b" and "own" not in p.sh("git ls-tree -r HEAD").stdout,
   "their own .git is untouched, and nothing of them is in the outer repository's commits", p.sh("git show --stat --format= HEAD").stdout, *differences(gits[0], inside(p)[0]))

# ---- and what cannot come back ----
p = repository()
p.sh(NESTED)
tree = begin(p, "n3")
p.sh("sed -i s/1/agent/ own/o; echo mine > own/stands; echo b > b", cwd=tree)
p.sh("sed -i s/1/mine/ own/o; echo stands >> own/.git/info/exclude; echo x > own/stands")
before = p.look()
status, out = run(p, [TXN, "commit"])
ok(status == 1 and "own/o: changed on both sides" in out and p.look() == before and os.path.isdir(tree) and not p.sh("git log --oneline HEAD -- b").stdout, "what both sides changed in one is a conflict by name: nothing is merged, in the outer repository neither",
   status, out, *differences(before, p.look()))
p.sh("sed -i s/mine/agent/ own/o")
before = p.look()
status, out = run(p, [TXN, "commit"])
ok(status == 1 and "own/stands: stands in the workspace" in out and p.look() == before, "and so is a file where an ignored one stands", status, out)
p.sh("rm own/stands")
p.sh("git add -A; git commit -qm theirs", cwd=tree + "/own")
status, out = run(p, [TXN, "commit"])
ok(status != 0 and "own is a repository of its own, and another commit is checked out" in out and "fetch" in out and os.path.isdir(tree) and not os.path.exists(p.work + "/b"), "commits that were made in one are refused by name, with the way to keep them", status, out)
p.sh("git -C '%s/own' fetch -q '%s/own' HEAD; git -C '%s/own' reset -q --soft HEAD~" % (p.work, tree, tree))
status, out = run(p, [TXN, "commit"])
ok(status == 0 and open(p.work + "/own/stands").read() == "mine\n" and os.path.exists(p.work + "/b") and p.sh("git -C own show FETCH_HEAD:stands").stdout == "mine\n", "that way leads to the end", status, out)
tree = begin(p, "n4")
p.sh("rm -rf own; echo c > c", cwd=tree)
before = p.look()
status, out = run(p, [TXN, "commit"])
ok(status == 0 and "own, a repository of its own, is gone in the tree, and stays" in out and p.look() == dict(before, c=is_(b"c\n")), "one that is removed in the tree stays in the workspace, which is said", status, out, *differences(before, p.look()))

# ---- What is ignored there since ----
p = repository()
p.sh("git init -q own; echo o > own/o; git -C own add .; git -C own commit -qm o; echo precious > own/u; echo precious > own/w")
tree = begin(p, "i1")
p.sh("printf 'u\nw\n' >> own/.gitignore; echo more >> own/w", cwd=tree)
status, out = run(p, [TXN, "commit"])
files = {n: open(p.work + "/own/" + n).read() for n in os.listdir(p.work + "/own") if n != ".git"}
ok(status == 0 and files == {"o": "o\n", "u": "precious\n", "w": "precious\nmore\n", ".gitignore": "u\nw\n"}, "a file of one that is ignored there since stays, with what was changed in it", status, out, files)
p.sh("printf 'o\nx\n' >> own/.git/info/exclude; git -C own rm -q --cached o; echo x > own/x")
tree = begin(p, "i2")
p.sh("echo n > own/n", cwd=tree)
p.sh("echo n >> own/.gitignore; echo n > own/mine")
status, out = run(p, [TXN, "commit"])
files = sorted(os.listdir(p.work + "/own"))
ok(status == 0 and files == [".git", ".gitignore", "mine", "n", "o", "u", "w", "x"], "and so is one that the user ignores since", status, out, files)

# ---- A repository made in one ----
p = repository()
p.sh("git init -q own; mkdir own/lib; echo o > own/lib/o; git -C own add .; git -C own commit -qm o; mkdir own/his; echo h > own/his/h")
tree = begin(p, "i3")
before, wrong = p.look(), []
for at in ("lib", "his", "new"):
    p.sh("mkdir -p own/%s; git init -q own/%s; echo n > own/%s/n; git -C own/%s add .; git -C own/%s commit -qm lib; echo b > b" % ((at,) * 5), cwd=tree)
    status, out = run(p, [TXN, "commit"])
    if status == 0 or "own/%s is a repository of its own" % at not in out or p.look() != before or not os.path.exists(tree + "/own/%s/n" % at):
        wrong.append((at, status, out, differences(before, p.look())))
    p.sh("rm -rf own/%s/.git" % at, cwd=tree)
status, out = run(p, [TXN, "commit"])
ok(not wrong and status == 0 and all(os.path.exists(p.work + "/own/" + n) for n in ("lib/o", "lib/n", "his/h", "his/n", "new/n")), "a repository that is made in one is refused by name wherever it is, and nothing is lost", wrong, status, out)

# ---- A .git made of links ----
p = repository()
p.sh("git init -q ../main; echo m > ../main/m; git -C ../main add .; git -C ../main commit -qm m; mkdir -p own/.git; cd own/.git; for i in refs logs config info objects packed-refs; do ln -s ../../../main/.git/$i $i; done; "
     "cp ../../../main/.git/HEAD ../../../main/.git/index .; cd ..; git reset -q --hard; cd ..; git init -q two; echo t > two/t; git -C two add .; git -C two commit -qm t; ln -s ../../gone two/.git/hooks/pre-push; "
     "git init -q three; echo t > three/t; git -C three add .; git -C three commit -qm t; mv three/.git/refs/heads ../heads; ln -s ../../../heads three/.git/refs/heads")
status, out = run(p, [TXN, "begin", "--isolate", "-s", "i4"])
tree = p.state("trees", "i4")
ok(status == 0 and "own: a git repository of its own, and its .git is made of links" in out and "three: a git repository" in out and sorted(os.listdir(tree)) == [".git", "a", "two"],
   "a repository whose .git is made of links is not taken, by name: a commit in its copy would be one in it", status, out, os.listdir(tree))

# ---- Killed while only files inside one are written ----
title = "killed while nothing but files of one are written, the next call completes it, whatever it is"
p = repository()
p.sh("git init -q own; for i in 1 2 3 4 5 6; do echo o > own/o$i; done; git -C own add .; git -C own commit -qm o")
WRITE = "for i in 1 2 3 4 5 6; do echo n > own/o$i; done"


def half(_):
    return open(p.work + "/own/o2").read() == "n\n" and open(p.work + "/own/o5").read() == "o\n"


ends = []
for verb in ("commit", "abort", "status"):
    p.sh("git -C own checkout -q .")
    p.sh(WRITE, cwd=begin(p, verb))
    calls, ended = run_to([TXN, "commit"], None, half, cwd=p.work, env=p.env)
    status, out = run(p, [TXN, verb])
    ends.append((verb, os.WIFSIGNALED(ended), status, out, p.sh("cat own/*").stdout, os.path.exists(p.state("txn", verb))))
if not calls:
    skip(title, "tracing a child is not allowed here")
else:
    ok(all(killed and after == "n\n" * 6 and not there for _, killed, _, _, after, there in ends), title, ends)

# ---- Commits that are not checked out ----
p = repository()
p.sh("git init -q own; echo o > own/o; git -C own add .; git -C own commit -qm o; echo his >> own/o; git -C own stash -q; git -C own branch old")
tree = begin(p, "s1")
p.sh("cd own; for i in 1 2; do echo s$i > o; git stash -q; done; git checkout -qb side; echo side > side; git add .; git commit -qm side; git checkout -q -; echo n > n", cwd=tree)
before, said = p.look(), []
for _ in range(4):
    status, out = run(p, [TXN, "commit"])
    said.append([n for n in ("refs/heads/side", "refs/stash", "stash@{0}", "stash@{1}") if "and %s in its copy is commit" % n in out])
    if status == 0:
        break
    said[-1].append(p.look() == before)
    p.sh(out[out.index("git -C"):].split(". Or")[0])
kept = sorted(p.sh("git -C own for-each-ref --format='%(contents:subject)' 'refs/heads/kept-*'; git -C own show $(git -C own for-each-ref --format='%(objectname)' 'refs/heads/kept-*') | grep '^+[s]'").stdout.split("\n"))
ok(status == 0 and said == [["refs/heads/side", True], ["refs/stash", True], ["stash@{1}", True], []] and os.path.exists(p.work + "/own/n") and "side" in kept and p.sh("git -C own stash list | wc -l").stdout == "1\n",
   "commits on other branches of one and stashes there are refused by name, and the way that is told keeps them", status, out, said, kept)

# ---- What is noted of them ----
p = repository()
p.sh("git init -q own; echo o > own/o; git -C own add .; git -C own commit -qm o")
tree = begin(p, "l2")
p.sh("echo n > own/n; echo b > b", cwd=tree)
open(p.state("trees", ".l2/nested"), "w").close()
before = p.look()
status, out = run(p, [TXN, "commit"])
ok(status != 0 and "is damaged" in out and p.look() == before and os.path.exists(tree + "/own/n") and run(p, [TXN, "abort"])[0] == 0, "if what is noted of them is lost nothing is merged, and it can be given up", status, out)

# ---- Edited while it is merged ----
title = "what the user writes into a file of one at the moment in which it is merged is not overwritten: it is named, and merged by the next call"
p = repository()
p.sh("git init -q own; for i in 1 2 3 4 5 6; do seq 9 > own/o$i; done; git -C own add .; git -C own commit -qm o")
p.sh("for i in 1 2 3 4 5 6; do sed -i s/1/agent/ own/o$i; done; echo new > own/z", cwd=begin(p, "e1"))
p.sh("mkdir ../bin; printf '#!/bin/sh\ncase \"$*\" in *checkout-index*) if [ ! -e %s/once ]; then touch %s/once; sed -i s/9/his/ %s/own/o3; fi;; esac\nexec %s \"$@\"\n' > ../bin/git; chmod 755 ../bin/git" %
     (p.dir, p.dir, p.work, shutil.which("git")))
start = p.look()
status, out = run(p, ["env", "PATH=%s/bin:%s" % (p.dir, os.environ["PATH"]), TXN, "commit"])
start["own/o3"] = is_(b"1\n2\n3\n4\n5\n6\n7\n8\nhis\n")
ok(status == 1 and "own/o3: is changed in the workspace at this moment" in out and "nothing was merged" in out and p.look() == start, title, status, out, *differences(start, p.look()))


def edit(_):
    if open(p.work + "/own/o2").read().startswith("agent") and not os.path.exists(p.work + "/own/z"):
        p.sh("sed -i s/9/late/ own/o5; echo mine > own/z")


title = "and in the midst of it neither, nor a file that is made there"
calls, _ = run_to([TXN, "commit"], None, edit, cwd=p.work, env=p.env)
if not calls:
    skip(title, "tracing a child is not allowed here")
else:
    late, z = open(p.work + "/own/o5").read(), open(p.work + "/own/z").read()
    status, out = run(p, [TXN, "commit"])
    p.sh("rm own/z")
    again = run(p, [TXN, "commit"])
    ok(late.endswith("late\n") and z == "mine\n" and status == 1 and "own/z" in out and again[0] == 0 and
       p.sh("cat own/z; head -qn1 own/o*; tail -qn1 own/o*").stdout.split() == ["new"] + ["agent"] * 6 + ["9", "9", "his", "9", "late", "9"], title, late, z, status, out, again)

# ---- Ignored things where files are to be ----
p = repository()
p.sh("git init -q own; printf 'dist\nway\ngone/ign\n' > own/.gitignore; mkdir own/gone own/full; echo g > own/gone/g; echo f > own/full/f; git -C own add .; git -C own commit -qm o")
tree = begin(p, "f1")
p.sh("sed -i '/gone.ign/!d' own/.gitignore; echo d > own/dist; mkdir own/way; echo w > own/way/w; rm -r own/gone own/full; echo g > own/gone; echo f > own/full; echo a > own/aaa; echo b > b", cwd=tree)
p.sh("mkdir own/dist; echo built > own/dist/d; echo file > own/way; echo i > own/gone/ign")
before = p.look()
status, out = run(p, [TXN, "commit"])
named = [n for n in ("dist", "way/w", "gone", "full", "aaa") if "own/%s: stands" % n in out]
ok(status == 1 and named == ["dist", "way/w", "gone"] and p.look() == before, "ignored directories and files where files of one are to be are named before anything is changed", status, out, named, *differences(before, p.look()))
p.sh("rm -r own/dist own/way own/gone/ign")
status, out = run(p, [TXN, "commit"])
ok(status == 0 and p.sh("cd own; cat dist way/w gone full aaa").stdout == "d\nw\ng\nf\na\n", "and without them it goes", status, out)

# ---- Files that git is told not to look at ----
p = repository()
p.sh("seq 9 > one; seq 9 > two; seq 9 > his; git add .; git commit -qm n; git update-index --assume-unchanged one his; git update-index --skip-worktree two; echo local >> his")
tree = begin(p, "a1")
p.sh("sed -i s/1/agent/ one two", cwd=tree)
status, out = run(p, [TXN, "commit"])
flags = sorted(p.sh("git ls-files -v").stdout.split("\n"))
ok(status == 0 and p.sh("git show HEAD:one HEAD:two | grep -c agent").stdout == "2\n" and open(p.work + "/one").read().startswith("agent") and flags[-4:] == ["H a", "S two", "h his", "h one"],
   "changes of files that git is told to assume unchanged, or to skip, are merged, and they stay so marked", status, out, flags)
tree = begin(p, "a2")
p.sh("sed -i s/1/agent/ his", cwd=tree)
before = p.look()
status, out = run(p, [TXN, "commit"])
ok(status == 1 and "his: has changes of yours that are not committed" in out and p.look() == before, "and what the user has changed in one of these is not overwritten: it is named", status, out)

# ---- Under a hook that has quarantined objects ----
p = repository()
p.env["GIT_QUARANTINE_PATH"] = p.dir + "/quarantine"
tree = begin(p, "q1")
p.sh("echo q > q", cwd=tree) if tree else None
status, out = run(p, [TXN, "commit"])
ok(tree and status == 0 and os.path.exists(p.work + "/q"), "a caller with GIT_QUARANTINE_PATH gets the same: begun, merged", status, out)
done()
