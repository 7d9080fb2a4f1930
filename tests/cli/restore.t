#!/usr/bin/python3
"""What an agent's git, or its rm, takes away comes back: changes nobody committed, untracked and ignored files, also when git has dropped the objects behind them."""
import os
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "cli"))
from clikit import ok, done  # noqa: E402
from project import SHIM, Project, differences  # noqa: E402

FILL = r"""
mkdir -p src/deep build empty; printf 'one\n' > src/one; printf 'two\n' > src/deep/two; printf 'ignored.*\nbuild/\n' > .gitignore; chmod 755 src/one
git add .; git commit -qm first; printf 'three\n' > src/three; git add .; git commit -qm second; printf 'four\n' > src/four; git add .; git commit -qm third
printf 'not committed\n' >> src/one; printf 'staged\n' > src/staged; git add src/staged; printf 'untracked\n' > untracked; head -c 50000 /dev/urandom > build/out; printf 'i\n' > ignored.txt
ln -s src/one link; chmod 600 ignored.txt
"""
ACTS = {
    "a bash child's rm -rf": "bash -c 'rm -rf src build ignored.txt untracked .gitignore link empty'",
    "git clean -fdx": "git clean -qfdx",
    "git reset --hard": "git reset -q --hard HEAD~2",
    "git stash -u": "git stash -q -u; git stash drop -q",
    "a rebase plus git gc --prune=now": "git stash -q -u; git stash drop -q; GIT_SEQUENCE_EDITOR='sed -i 1d' git rebase -q -i HEAD~2; git reflog expire --expire=now --all; git gc -q --prune=now; rm -f ignored.txt",
}
for words, act in ACTS.items():
    for bare in (False, True):
        p = Project()
        p.sh(FILL)
        before = p.look()
        if bare:
            p.sh(act, env={"LD_PRELOAD": SHIM})
        else:
            p.record(act)
        after = p.look()
        status, out, err = p.back()
        ok(after != before and status == 0 and p.look() == before, "after %s%s the state before comes back, ignored files included" % (words, " under the bare preload" if bare else ""),
           status, out, err, *differences(before, p.look()))
        fsck = p.sh("git fsck --full").returncode
        ok(fsck == 0 and p.sh("git --git-dir=%s fsck --full" % p.state("shadow.git")).returncode == 0, "and git fsck finds nothing wrong, in the repository and in the savepoints")
done()
