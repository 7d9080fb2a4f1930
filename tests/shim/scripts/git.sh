# What people and agents do with git; the dates are set, so that every object has the same name.
set -e
export GIT_AUTHOR_DATE='2026-01-02T03:04:05Z' GIT_COMMITTER_DATE='2026-01-02T03:04:05Z' GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b.c GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b.c
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
mkdir repo; cd repo
git init -q -b main; echo one > a; mkdir d; echo two > d/b; git add .; git commit -q -m first; git log --format='%H %s'
git checkout -q -b side; echo side > a; git commit -qam side; git checkout -q main; echo main > c; git add c; git commit -qm main
git merge -q side -m merge; git log --graph --format='%h %s'
git checkout -q -b conflict side~1; echo other > a; git commit -qam other; git merge side 2>&1 | sort || true; git status --porcelain; git merge --abort
git rebase -q main 2>&1 | grep -c CONFLICT || true; git rebase --abort 2>/dev/null || true
git checkout -q main; echo dirty > a; git stash -q; cat a; git stash pop -q; cat a; git checkout -q -- a
printf '#!/bin/sh\necho hook ran\n' > .git/hooks/pre-commit; chmod +x .git/hooks/pre-commit; echo 3 > three; git add three; git commit -m three 2>&1 | head -1
git tag -a v1 -m one; git describe; git show --stat --format=%s v1^{commit}; git diff HEAD~1 --stat; git blame -s a
git worktree add -q ../tree side; ls ../tree; git worktree remove ../tree
git clone -q . ../clone; git -C ../clone log --format=%h | wc -l; git -C ../clone config user.name x; cd ../clone; echo up > up; git add up; git commit -qm up
git push -q origin HEAD:refs/heads/pushed; cd ../repo; git log -1 --format=%s pushed
git bundle create -q ../all.bundle --all; git bundle verify -q ../all.bundle; git archive HEAD | tar tf -
git mv d/b d/moved; git rm -q three; git status --short; git reset -q --hard; git clean -ndx
git gc -q; git fsck; git count-objects | sed 's/,.*//'; git cat-file --batch-check --batch-all-objects | sort | md5sum
echo junk > junk; git clean -fdxq; ls; git bisect start HEAD HEAD~2 > /dev/null 2>&1; git bisect run sh -c 'test ! -e nothing' 2>&1 | tail -1; git bisect reset > /dev/null 2>&1
git grep -n one || true; git rev-parse HEAD; git nonsense 2>/dev/null || echo "unknown $?"
